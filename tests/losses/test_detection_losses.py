"""Matching and losses against Hugging Face's LW-DETR, and where there is little to match."""

import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou
from transformers.loss.loss_lw_detr import LwDetrHungarianMatcher, LwDetrImageLoss

from vit.boxes import cxcywh_to_xyxy, iou, pairwise_generalized_iou
from vit.losses.detection import SetCriterion
from vit.losses.matching import Matcher
from vit.structures import Detections, Objects, Stage

CLASSES, QUERIES = 7, 12


def made_up(counts=(3, 0, 5), groups=1, stages=1, seed=0):
    torch.manual_seed(seed)
    images = len(counts)
    boxes = torch.rand(images, groups * QUERIES, 4) * 0.5 + 0.2
    found = [
        Stage(
            torch.randn(images, groups * QUERIES, CLASSES, requires_grad=True),
            (boxes + 0.05 * torch.randn_like(boxes)).clamp(0.01, 0.99).requires_grad_(),
        )
        for _ in range(stages)
    ]
    total = sum(counts)
    objects = Objects(torch.randint(CLASSES, (total,)), torch.rand(total, 4) * 0.5 + 0.2, counts)
    return Detections(found, groups), objects


def of_hugging_face(objects):
    sizes = list(objects.counts)
    pairs = zip(objects.labels.split(sizes), objects.boxes_cxcywh.split(sizes), strict=True)
    return [{"class_labels": labels, "boxes": boxes} for labels, boxes in pairs]


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("counts", [(3, 0, 5), (1, 12, 2), (0, 0, 1)])
def test_matches_and_losses_are_those_of_lw_detr(groups, counts):
    detections, objects = made_up(counts, groups)
    stage = detections.answer
    matcher = LwDetrHungarianMatcher(class_cost=2.0, bbox_cost=5.0, giou_cost=2.0)
    wanted = ["labels", "boxes"]
    reference = LwDetrImageLoss(matcher, CLASSES, 0.25, wanted, groups)
    outputs = {"logits": stage.logits, "pred_boxes": stage.boxes_cxcywh}
    expected = reference(outputs, of_hugging_face(objects))
    found = SetCriterion()(detections, objects)
    for ours, theirs in (
        ("loss_class", "loss_ce"),
        ("loss_box", "loss_bbox"),
        ("loss_giou", "loss_giou"),
    ):
        torch.testing.assert_close(found[ours], expected[theirs], rtol=4e-6, atol=1e-6)
    (match,), broken = Matcher().match_all(detections, objects)
    pairs = matcher(outputs, of_hugging_face(objects), groups)
    first, result = 0, []
    for image, (queries, numbers) in enumerate(pairs):
        result += [(image, int(q), int(n) + first) for q, n in zip(queries, numbers, strict=True)]
        first += objects.counts[image]
    ours = zip(
        *(part.tolist() for part in (match.images, match.queries, match.objects)), strict=True
    )
    assert sorted(ours) == sorted(result) and broken == 0


def test_all_stages_are_summed():
    detections, objects = made_up(stages=3)
    each = [SetCriterion()(Detections([stage]), objects)["loss"] for stage in detections.stages]
    torch.testing.assert_close(SetCriterion()(detections, objects)["loss"], sum(each))


@pytest.mark.parametrize("counts", [(0, 0, 0), (0, 2, 0)])
def test_every_answer_has_a_gradient_where_little_or_nothing_is_to_be_found(counts):
    detections, objects = made_up(counts, stages=2)
    SetCriterion()(detections, objects)["loss"].backward()
    for stage in detections.stages:
        for answer in (stage.logits, stage.boxes_cxcywh):
            assert answer.grad is not None and answer.grad.isfinite().all()


def test_saturated_answers_and_half_precision_stay_finite():
    detections, objects = made_up()
    stage = detections.answer
    for sign in (1, -1):
        extreme = (sign * 80 * torch.ones_like(stage.logits)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            found = SetCriterion()(Detections([Stage(extreme, stage.boxes_cxcywh)]), objects)
        assert found["loss"].dtype == torch.float32 and found["loss"].isfinite()
        found["loss"].backward()
        assert extreme.grad.isfinite().all()


def test_costs_that_are_no_numbers_are_counted_and_matched_last():
    detections, objects = made_up()
    logits = detections.answer.logits.detach().clone()
    logits[0, :4] = float("nan")
    broken = Detections([Stage(logits, detections.answer.boxes_cxcywh)])
    (match,), count = Matcher().match_all(broken, objects)
    assert count == 4 * 3
    assert (match.queries[match.images == 0] >= 4).all()


def test_boxes_overlap_as_in_torchvision_and_flat_ones_by_nothing():
    torch.manual_seed(0)
    a, b = (cxcywh_to_xyxy(torch.rand(20, 4) * 0.5 + 0.1) for _ in range(2))
    torch.testing.assert_close(iou(a[:, None], b), box_iou(a, b), rtol=0, atol=1e-6)
    expected = generalized_box_iou(a, b)
    torch.testing.assert_close(pairwise_generalized_iou(a, b), expected, rtol=0, atol=1e-6)
    flat = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.6, 0.6, 0.4, 0.4]], requires_grad=True)
    both = pairwise_generalized_iou(flat, flat)
    both.sum().backward()
    assert both.isfinite().all() and flat.grad.isfinite().all() and (both <= 1).all()
