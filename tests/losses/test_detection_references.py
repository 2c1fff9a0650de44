"""Matches and every loss against Hugging Face's own, with the constants of its configs."""

import pytest
import torch
from torchvision.ops import box_convert, generalized_box_iou_loss, sigmoid_focal_loss
from transformers import (
    Deimv2Config,
    DetrConfig,
    DFineConfig,
    EomtConfig,
    Mask2FormerConfig,
    RfDetrConfig,
    RTDetrConfig,
    YolosConfig,
)
from transformers.loss.loss_d_fine import DFineLoss
from transformers.loss.loss_deimv2 import Deimv2Loss
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss, HungarianMatcher
from transformers.loss.loss_lw_detr import LwDetrForObjectDetectionLoss
from transformers.loss.loss_rt_detr import RTDetrHungarianMatcher, RTDetrLoss
from transformers.models.eomt.modeling_eomt import EomtLoss
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from vit.losses.detection import SetCriterion
from vit.losses.masks import IMPORTANCE, OVERSAMPLE
from vit.losses.matching import Matcher
from vit.losses.weights import LossWeights, MatchingCosts
from vit.structures import Detections, Objects, Stage

CLASSES, QUERIES, COUNTS = 7, 20, (3, 0, 5)
NEAR = {"rtol": 4e-6, "atol": 0.0}


def made_up(columns=CLASSES, groups=1, stages=3, counts=COUNTS, masks=False):
    def boxes(*shape):
        return torch.rand(*shape, 4) * 0.4 + 0.15

    images, queries, total = len(counts), groups * QUERIES, sum(counts)
    found = [
        Stage(
            (2 * torch.randn(images, queries, columns)).requires_grad_(),
            None if masks else boxes(images, queries).requires_grad_(),
            (3 * torch.randn(images, queries, 6, 8)).requires_grad_() if masks else None,
        )
        for _ in range(stages)
    ]
    true_masks = torch.rand(total, 24, 32) > 0.6 if masks else None
    objects = Objects(torch.randint(CLASSES, (total,)), boxes(total), counts, true_masks)
    return Detections(found, groups), objects


def labelled(objects):
    sizes = list(objects.counts)
    pairs = zip(objects.labels.split(sizes), objects.boxes_cxcywh.split(sizes), strict=True)
    return [{"class_labels": labels, "boxes": boxes} for labels, boxes in pairs]


def outputs_of(stage):
    return {"logits": stage.logits, "pred_boxes": stage.boxes_cxcywh}


def assert_same_pairs(match, reference, counts):
    """`reference` is (queries, objects of the image) per image."""
    rows, first = [], 0
    for image, (queries, numbers) in enumerate(reference):
        rows += [(image, int(q), int(n) + first) for q, n in zip(queries, numbers, strict=True)]
        first += counts[image]
    ours = zip(match.images, match.queries, match.objects, strict=True)
    assert sorted((int(i), int(q), int(n)) for i, q, n in ours) == sorted(rows)


def assert_same_gradients(loss, reference, answers):
    ours = torch.autograd.grad(loss, answers, retain_graph=True)
    theirs = torch.autograd.grad(reference, answers)
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).norm() <= 4e-6 * other.norm()


def stacked(detections):
    return {
        "outputs_class": torch.stack([stage.logits for stage in detections.stages]),
        "outputs_coord": torch.stack([stage.boxes_cxcywh for stage in detections.stages]),
    }


@pytest.mark.parametrize("make", [DetrConfig, YolosConfig])
def test_cross_entropy_is_that_of_detr_and_yolos(make):
    config = make(num_labels=CLASSES, auxiliary_loss=True)
    config.decoder_layers = 3  # Yolos has none, and its loss asks for it
    detections, objects = made_up(columns=CLASSES + 1)
    answer = detections.answer
    reference, parts, _ = ForObjectDetectionLoss(
        answer.logits,
        labelled(objects),
        "cpu",
        answer.boxes_cxcywh,
        config,
        **stacked(detections),
    )
    costs = config.class_cost, config.bbox_cost, config.giou_cost
    assert costs == (1, 5, 2)
    criterion = SetCriterion(
        class_loss="cross_entropy",
        costs=MatchingCosts(class_=1.0),
        no_object_weight=config.eos_coefficient,
    )
    found = criterion(detections, objects)
    torch.testing.assert_close(found["loss"], reference, **NEAR)
    for ours, theirs in (("class", "ce"), ("box", "bbox"), ("giou", "giou")):
        result = sum(parts[f"loss_{theirs}{end}"] for end in ("", "_0", "_1"))
        torch.testing.assert_close(found[f"loss_{ours}"], result, **NEAR)
    matches, _ = criterion.matcher.match_all(detections, objects)
    for stage, match in zip(detections.stages, matches, strict=True):
        result = HungarianMatcher(*costs)(outputs_of(stage), labelled(objects))
        assert_same_pairs(match, result, COUNTS)
    assert_same_gradients(found["loss"], reference, [s.logits for s in detections.stages])


@pytest.mark.parametrize("groups", [1, 3])
def test_iou_aware_loss_is_that_of_rf_detr(groups):
    config = RfDetrConfig(num_labels=CLASSES, group_detr=groups, auxiliary_loss=True)
    config.decoder_layers = 3
    detections, objects = made_up(groups=groups, stages=4)
    first, *layers = detections.stages  # the encoder's, then the decoder's
    answer = detections.answer
    reference, _, _ = LwDetrForObjectDetectionLoss(
        answer.logits,
        labelled(objects),
        "cpu",
        answer.boxes_cxcywh,
        config,
        **stacked(Detections(layers)),
        enc_outputs_class=first.logits,
        enc_outputs_coord=first.boxes_cxcywh,
    )
    found = SetCriterion(alpha=config.focal_alpha)(detections, objects)
    torch.testing.assert_close(found["loss"], reference, **NEAR)
    answers = [s.logits for s in detections.stages] + [s.boxes_cxcywh for s in detections.stages]
    assert_same_gradients(found["loss"], reference, answers)


@pytest.mark.parametrize(
    ("name", "config", "part", "reference"),
    [
        ("vfl", RTDetrConfig(num_labels=CLASSES), "loss_labels_vfl", RTDetrLoss),
        ("vfl", DFineConfig(num_labels=CLASSES), "loss_labels_vfl", DFineLoss),
        # 1.5 is DEIM's own; this class defaults to 2
        (
            "mal",
            Deimv2Config(num_labels=CLASSES, focal_loss_gamma=1.5),
            "loss_labels_mal",
            Deimv2Loss,
        ),
    ],
)
def test_losses_aimed_at_iou_are_those_of_rt_detr_d_fine_and_deim(name, config, part, reference):
    theirs = reference(config)
    detections, objects = made_up(stages=1)
    outputs, answer = outputs_of(detections.answer), detections.answer
    pairs = theirs.matcher(outputs, labelled(objects))
    (match,), _ = Matcher().match_all(detections, objects)
    assert_same_pairs(match, pairs, COUNTS)
    result = getattr(theirs, part)(outputs, labelled(objects), pairs, float(sum(COUNTS)))
    found = SetCriterion(class_loss=name)(detections, objects)
    torch.testing.assert_close(found["loss_class"], result[f"loss_{name}"], **NEAR)
    assert_same_gradients(found["loss_class"], result[f"loss_{name}"], [answer.logits])
    result = theirs.loss_boxes(outputs, labelled(objects), pairs, float(sum(COUNTS)))
    torch.testing.assert_close(found["loss_box"], result["loss_bbox"], **NEAR)
    torch.testing.assert_close(found["loss_giou"], result["loss_giou"], **NEAR)


def test_focal_and_giou_losses_are_torchvisions():
    # focal not RT-DETR's of Hugging Face, which hands over alpha where the number of boxes goes
    detections, objects = made_up(stages=1)
    answer = detections.answer
    pairs = RTDetrHungarianMatcher(RTDetrConfig())(outputs_of(answer), labelled(objects))
    wanted, boxes = torch.zeros_like(answer.logits), []
    for image, (queries, numbers) in enumerate(pairs):
        wanted[image, queries, objects.labels.split(COUNTS)[image][numbers]] = 1
        own = (
            answer.boxes_cxcywh[image, queries],
            objects.boxes_cxcywh.split(COUNTS)[image][numbers],
        )
        boxes.append(torch.stack([box_convert(each, "cxcywh", "xyxy") for each in own]))
    found = SetCriterion(class_loss="focal")(detections, objects)
    result = sigmoid_focal_loss(answer.logits, wanted, alpha=0.25, gamma=2, reduction="sum")
    torch.testing.assert_close(found["loss_class"], result / sum(COUNTS), **NEAR)
    assert_same_gradients(found["loss_class"], result / sum(COUNTS), [answer.logits])
    result = generalized_box_iou_loss(*torch.cat(boxes, dim=1), reduction="sum") / sum(COUNTS)
    torch.testing.assert_close(found["loss_giou"], result, **NEAR)
    assert_same_gradients(found["loss_giou"], result, [answer.boxes_cxcywh])


@pytest.mark.parametrize(
    ("make", "reference"), [(EomtConfig, EomtLoss), (Mask2FormerConfig, Mask2FormerLoss)]
)
def test_masks_are_matched_and_trained_as_in_eomt_and_mask2former(make, reference, monkeypatch):
    config = make(num_labels=CLASSES, train_num_points=200)
    weights = config.class_weight, config.mask_weight, config.dice_weight
    assert weights == (2, 5, 5) and config.no_object_weight == 0.1
    assert (config.oversample_ratio, config.importance_sample_ratio) == (OVERSAMPLE, IMPORTANCE)
    detections, objects = made_up(columns=CLASSES + 1, stages=2, masks=True, counts=(3, 1, 5))
    drawn = torch.rand(600, 2)

    def same_points(masks, points, two, **how):
        """Whoever asks: the two draw in different orders."""
        return drawn[:points].repeat(masks, 1, 1)

    monkeypatch.setattr(torch, "rand", same_points)
    theirs = reference(config, {})
    labels = [each["class_labels"] for each in labelled(objects)]
    masks = [each.float() for each in objects.masks.split(objects.counts)]
    criterion = SetCriterion(
        class_loss="cross_entropy", weights=LossWeights(class_=2.0), num_points=200
    )
    found = criterion(detections, objects)
    matches, _ = criterion.matcher.match_all(detections, objects)
    sums = {"loss_cross_entropy": 0, "loss_mask": 0, "loss_dice": 0}
    for stage, match in zip(detections.stages, matches, strict=True):
        result = theirs.matcher(stage.masks, stage.logits, masks, labels)
        assert_same_pairs(match, result, objects.counts)
        for name, value in theirs(stage.masks, stage.logits, masks, labels).items():
            sums[name] = sums[name] + value
    for ours, name in (("class", "cross_entropy"), ("mask", "mask"), ("dice", "dice")):
        torch.testing.assert_close(found[f"loss_{ours}"], sums[f"loss_{name}"], **NEAR)
    whole = 2 * sums["loss_cross_entropy"] + 5 * sums["loss_mask"] + 5 * sums["loss_dice"]
    torch.testing.assert_close(found["loss"], whole, **NEAR)
    answers = [s.masks for s in detections.stages] + [s.logits for s in detections.stages]
    assert_same_gradients(found["loss"], whole, answers)
