"""Noised copies of the objects in training, and that the matched queries never learn of them."""

from functools import partial

import pytest
import torch
from head_makers import CLASSES, GROUPED, backbone, detector, randomised
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.rt_detr.modeling_rt_detr import (
    get_contrastive_denoising_training_group,
    inverse_sigmoid,
)

from vit.boxes import cxcywh_to_xyxy
from vit.layers.position import NoPosition
from vit.models.heads.denoising import LEAST_SIDE, Denoising, arranged
from vit.models.heads.valid_patches import ValidPatches
from vit.structures import Objects

QUERIES = 12
IMAGES = (2, 3, 16, 24)


def made_up(counts):
    """Objects well inside of their images, so that no noised box is cut at the edge."""
    total = sum(counts)
    boxes = torch.cat([torch.rand(total, 2) * 0.2 + 0.4, torch.rand(total, 2) * 0.2 + 0.1], 1)
    return Objects(torch.randint(CLASSES, (total,)), boxes, counts)


def denoising(name, **switches):
    return detector(name, denoising=partial(Denoising, num_queries=QUERIES), **switches).train()


def noised(counts, num_queries=QUERIES, **switches):
    module = Denoising(8, CLASSES, num_queries=num_queries, **switches)
    objects = made_up(counts)
    found = module(objects, ValidPatches(), torch.zeros(len(counts), 3, 16, 24))
    return module, objects, found


def moves(found_cxcywh, objects, number):
    """By how many half sides each corner was moved; one row a real query."""
    at = number >= 0
    true = objects.boxes_cxcywh[number[at]]
    moved = (cxcywh_to_xyxy(found_cxcywh[at]) - cxcywh_to_xyxy(true)).abs()
    return moved / (true[:, 2:].repeat(1, 2) / 2)


@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_corners_of_positive_boxes_move_by_up_to_half_a_side_and_of_negative_ones_further(scale):
    _, objects, found = noised((3, 1, 0, 2), num_queries=300, box_noise=scale)
    positive = found.positive.expand_as(found.objects)[found.objects >= 0]
    share = moves(found.references_cxcywh, objects, found.objects) / scale
    assert (share[positive] <= 1 + 1e-4).all() and share[positive].max() > 0.98
    if scale < 0.5:  # at 1 some are turned inside out, of which only the centre is kept
        assert (share[~positive] > 1 - 1e-4).all() and share[~positive].min() < 1.02
        assert (share[~positive] < 2 + 1e-4).all() and share[~positive].max() > 1.96
    assert (found.references_cxcywh[..., 2:] >= LEAST_SIDE).all()


def test_labels_are_drawn_anew_at_the_rate_of_flips():
    module, objects, found = noised((3, 5), num_queries=2000, label_flip=0.25)
    real = found.objects >= 0
    known = module.labels[objects.labels[found.objects[real]]]
    flipped = (found.content[real] != known).any(-1).double().mean().item()
    assert abs(flipped - 0.25 * (1 - 1 / CLASSES)) < 0.02  # a draw may meet the label it had
    module, objects, found = noised((3, 5), label_flip=0.0)
    real = found.objects >= 0
    assert torch.equal(found.content[real], module.labels[objects.labels[found.objects[real]]])


def test_each_object_has_as_many_positive_as_negative_copies_one_pair_a_group():
    number, positive, group = arranged((3, 0, 5), QUERIES)
    assert number.shape == (3, 2 * QUERIES)
    for image, own in enumerate([range(3), [], range(3, 8)]):
        for kind in (positive, ~positive):
            found = number[image][kind & (number[image] >= 0)]
            assert sorted(found.tolist()) == sorted([*own, *own])  # 12 // 5 groups
    for each in group.unique():
        for kind in (positive, ~positive):
            found = number[:, (group == each) & kind]
            assert len(found[found >= 0].unique()) == (found >= 0).sum()


def test_of_a_crowd_a_run_of_objects_as_long_as_there_are_queries_is_copied():
    torch.manual_seed(0)
    seen = set()
    for _ in range(50):
        number, positive, _ = arranged((2, 500), QUERIES)
        copied = number[1][positive]
        assert torch.equal(copied, number[1][~positive])
        assert ((copied.diff() == 1) | (copied.diff() == -499)).all()
        assert copied.min() >= 2 and copied.max() < 502
        assert (number[0] >= 0).sum() == 4
        seen |= set(copied.tolist())
    assert len(seen) > 200


def test_copies_and_mask_are_those_of_hugging_face_from_the_same_draws():
    counts = (4, 0, 3)
    module, objects, _ = noised(counts)
    torch.manual_seed(5)
    found = module(objects, ValidPatches(), torch.zeros(len(counts), 3, 16, 24))
    targets = [
        {"class_labels": labels, "boxes": boxes}
        for labels, boxes in zip(
            objects.labels.split(counts), objects.boxes_cxcywh.split(counts), strict=True
        )
    ]
    torch.manual_seed(5)
    table = torch.cat([module.labels.detach(), torch.zeros(1, 8)])
    content, boxes, mask, result = get_contrastive_denoising_training_group(
        targets, CLASSES, 7, lambda labels: table[labels], QUERIES, 0.5, 1.0
    )
    assert result["dn_num_group"] == 3 and result["dn_num_split"] == [2 * QUERIES, 7]
    real = found.objects >= 0
    assert torch.equal(found.content[real], content[real])
    theirs, ours = boxes[real].sigmoid(), found.references_cxcywh[real]
    thin = theirs[:, 2:] < LEAST_SIDE  # theirs may be thinner
    torch.testing.assert_close(ours[:, :2], theirs[:, :2], atol=2e-5, rtol=1e-4)
    assert (ours[:, 2:][thin] == LEAST_SIDE).all() and thin.float().mean() < 0.3
    torch.testing.assert_close(ours[:, 2:][~thin], theirs[:, 2:][~thin], atol=2e-5, rtol=1e-4)
    assert inverse_sigmoid(ours).isfinite().all()
    for image, own in enumerate(result["dn_positive_idx"]):
        at = (real[image] & found.positive).nonzero()[:, 0]
        assert torch.equal(at, own)
    # Theirs may also look at what only fills up, which is hidden here.
    opened = (mask[: 2 * QUERIES, : 2 * QUERIES] == 0) & real[:, None, :]
    assert torch.equal(found.sees[:, 0], opened)
    assert (mask[2 * QUERIES :, : 2 * QUERIES] == float("-inf")).all()


def answers(stages):
    return torch.cat([torch.cat([s.logits, s.boxes_cxcywh], -1) for s in stages], -1)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("name", GROUPED)
def test_matched_queries_answer_the_same_to_the_bit_with_and_without(name, groups):
    model = randomised(denoising(name, groups=groups))
    images, objects = torch.randn(IMAGES), made_up((3, 1))
    found = model(images, None, objects)
    assert found.denoised is not None and found.groups == groups
    assert all(s.logits.shape[1] == 2 * QUERIES for s in found.denoised.stages)
    assert len(found.denoised.stages) == len(found.stages) - 1
    model.head.denoising = None
    alone = model(images, None, objects)
    assert alone.denoised is None
    assert torch.equal(answers(found.stages), answers(alone.stages))


@pytest.mark.parametrize("name", GROUPED)
def test_what_a_group_knows_reaches_neither_the_other_groups_nor_the_matched_queries(name):
    model, change = randomised(denoising(name)), 0.0
    images, objects = torch.randn(IMAGES), made_up((3, 1))
    number, _, group = arranged(objects.counts, QUERIES)

    def changed(module, given, found):
        first = (group == 0)[None] & (number >= 0)
        fills_up = number < 0
        found.content = found.content + change * (first | fills_up)[..., None]
        return found

    model.head.denoising.register_forward_hook(changed)
    torch.manual_seed(1)
    before = model(images, None, objects)
    change = 1.0
    torch.manual_seed(1)
    after = model(images, None, objects)
    assert torch.equal(answers(before.stages), answers(after.stages))
    others = (group > 0)[None] & (number >= 0)
    own = (group == 0)[None] & (number >= 0)
    was, became = (answers(found.denoised.stages) for found in (before, after))
    torch.testing.assert_close(became[others], was[others])
    assert ((became[own] - was[own]).abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("name", GROUPED)
def test_copies_in_a_group_see_one_another(name):
    model, images, objects = randomised(denoising(name)), torch.randn(IMAGES), made_up((3, 1))

    def first_changed(module, given, found):
        found.content = found.content.index_add(
            1, torch.tensor([0]), torch.ones(2, 1, found.content.shape[-1])
        )

    torch.manual_seed(1)
    before = answers(model(images, None, objects).denoised.stages)
    model.head.denoising.register_forward_hook(first_changed)
    torch.manual_seed(1)
    after = answers(model(images, None, objects).denoised.stages)
    changed = (after - before).abs().amax(-1)
    assert (changed[0, :6] > 1e-5).all() and (changed[0, 6:] < 1e-6).all()


@pytest.mark.parametrize("name", GROUPED)
def test_copies_start_at_the_objects_also_where_images_are_padded(name):
    model = denoising(name, body=backbone(position=NoPosition))
    padding = torch.ones(2, 32, 48, dtype=torch.bool)
    padding[:, 8:28, 8:40] = False
    objects = made_up((3, 1))
    found = model(torch.randn(2, 3, 32, 48), padding, objects).denoised
    real = (found.objects >= 0) & found.positive
    number = found.objects.where(real, -1)
    # the first boxes are the references: predictors of boxes start by leaving them where they are
    assert (moves(found.stages[0].boxes_cxcywh, objects, number) < 1 + 1e-4).all()


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("objects", [None, (0, 0), (0, 2)])
def test_every_parameter_has_a_gradient_where_there_is_little_or_nothing_to_copy(name, objects):
    model = denoising(name, body=backbone(class_token=False, registers=0))
    given = None if objects is None else made_up(objects)
    found = model(torch.randn(IMAGES), None, given)
    real = found.denoised.objects >= 0
    total = sum(answers(s)[real].sum() for s in ([stage] for stage in found.denoised.stages))
    (total + answers(found.stages[:1]).sum()).backward()
    head = model.head
    for key, parameter in head.named_parameters():
        if "two_stage.con" in key or "two_stage.change" in key:
            continue  # of the matched queries, left out here
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    assert head.denoising.labels.grad.any() == bool(objects and any(objects))


def test_without_it_there_is_no_parameter_more_and_old_weights_fit():
    plain, with_it = detector("deformable"), denoising("deformable")
    missing, unexpected = with_it.load_state_dict(plain.state_dict(), strict=False)
    assert (missing, unexpected) == (["head.denoising.labels"], [])
    assert "head.denoising.labels" in with_it.no_weight_decay()
    assert with_it.depths()["head.denoising.labels"] == 4
    images = torch.randn(IMAGES)
    ours, theirs = with_it.eval()(images, None, made_up((1, 1))), plain.eval()(images)
    assert ours.denoised is None
    assert torch.equal(answers(ours.stages), answers(theirs.stages))


@pytest.mark.parametrize("name", GROUPED)
def test_flops_in_training_are_those_that_torch_counts(name):
    model = denoising(name, groups=2)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.rand(2, 3, 20, 12), None, made_up((2, 3)))
    assert counter.get_total_flops() == 2 * model.flops(20, 12)


def test_no_value_is_asked_for():
    """The meta device has none to give."""
    model = denoising("deformable").to("meta")
    padding = torch.zeros(2, 16, 24, dtype=torch.bool, device="meta")
    found = model(torch.rand(IMAGES, device="meta"), padding, made_up((20, 3)).to("meta"))
    assert found.denoised.stages[-1].logits.is_meta
    assert (found.denoised.objects >= 0).sum() == 2 * QUERIES + 6


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"num_queries": 0}, r"head\.denoising\.num_queries=0: must be at least 1"),
        ({"label_flip": 1.5}, r"head\.denoising\.label_flip=1\.5: a rate, wanted 0 to 1"),
        ({"label_flip": float("nan")}, r"label_flip=nan"),
        ({"box_noise": 0.0}, r"head\.denoising\.box_noise=0\.0: wanted above 0"),
        ({"box_noise": 1.5}, r"box_noise=1\.5.*at most 1"),
    ],
)
def test_values_that_cannot_be_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        Denoising(8, CLASSES, **switches)
