"""What the criterion's keys change, and what it refuses."""

import pytest
import torch
from query_scenes import KINDS, criterion_of, keys_of_criterion, made_up

from vit.losses.detection import SetCriterion, loss_of
from vit.losses.matching import Matcher
from vit.losses.weights import MatchingCosts
from vit.structures import Detections, Objects, Stage


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes_cxcywh": None, "masks": None}, "neither boxes nor masks"),
        ({"boxes_cxcywh": None}, "take class_loss=focal"),
    ],
)
def test_heads_that_cannot_be_trained_so_are_refused(change, message):
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    for name, value in change.items():
        setattr(detections.answer, name, value)
    with pytest.raises(ValueError, match=message):
        criterion_of("ia_bce")(detections, objects)


def test_masks_without_masks_to_learn_from_are_refused():
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    objects.masks = None
    with pytest.raises(ValueError, match="objects have none"):
        criterion_of("ia_bce")(detections, objects)


def test_groups_that_do_not_share_the_queries_are_refused():
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    detections.groups = 3
    with pytest.raises(ValueError, match="10 queries, which 3 groups"):
        criterion_of("ia_bce")(detections, objects)


@pytest.mark.parametrize("kind", ["focal", "cross_entropy"])
def test_parts_that_a_head_does_not_answer_are_left_out(kind):
    detections, objects = made_up(kind, (3, 2))
    for stage in detections.stages:
        stage.boxes_cxcywh = None
    found = criterion_of(kind)(detections, objects)
    assert [*found] == ["loss", "loss_class", "loss_mask", "loss_dice", "nonfinite_costs"]
    whole = found["loss_class"] + 5 * found["loss_mask"] + 5 * found["loss_dice"]
    torch.testing.assert_close(found["loss"], whole)
    detections, objects = made_up(kind, (3, 2), masks=False)
    found = criterion_of(kind)(detections, objects)
    assert [*found] == ["loss", "loss_class", "loss_box", "loss_giou", "nonfinite_costs"]


def test_each_weight_is_that_of_its_part():
    detections, objects = made_up("ia_bce", (3, 2))
    weights = {"class": 2.0, "box": 3.0, "giou": 5.0, "mask": 7.0, "dice": 11.0}
    keys = {f"weight_{name}": weight for name, weight in weights.items()}
    found = criterion_of("ia_bce", **keys)(detections, objects)
    whole = sum(weight * found[f"loss_{name}"] for name, weight in weights.items())
    torch.testing.assert_close(found["loss"], whole)


@pytest.mark.parametrize("name", ["class", "box", "giou", "mask", "dice"])
def test_each_cost_steers_the_matching(name):
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    steered = {f"cost_{each}": 0.0 for each in ("class", "box", "giou", "mask", "dice")}
    criterion = criterion_of("ia_bce", **(steered | {f"cost_{name}": 1.0}))
    alone, _ = criterion.matcher.match_all(detections, objects)
    halved, _ = criterion_of("ia_bce", **(steered | {f"cost_{name}": 0.5})).matcher.match_all(
        detections, objects
    )
    every, _ = criterion_of("ia_bce", **steered).matcher.match_all(detections, objects)
    assert torch.equal(alone[0].queries, halved[0].queries)
    assert not torch.equal(alone[0].queries, every[0].queries)


def test_costs_and_points_are_handed_to_the_matcher():
    costs = MatchingCosts(class_=1.0, box=2.0, giou=3.0, mask=4.0, dice=5.0)
    criterion = SetCriterion(costs=costs, num_points=9)
    assert criterion.matcher == Matcher(costs, num_points=9) != Matcher(num_points=9)
    assert Matcher() == Matcher(MatchingCosts(2.0, 5.0, 2.0, 5.0, 5.0))
    assert SetCriterion(class_loss="cross_entropy").matcher == Matcher(kind="softmax")


def test_a_head_whose_logits_are_read_otherwise_is_refused():
    SetCriterion().require_fit(no_object=False)
    SetCriterion(class_loss="cross_entropy").require_fit(no_object=True)
    with pytest.raises(
        ValueError, match=r"take class_loss=cross_entropy, or head\.no_object=false"
    ):
        SetCriterion(class_loss="mal").require_fit(no_object=True)
    with pytest.raises(ValueError, match=r"take one of ia_bce, .*, or head\.no_object=true"):
        SetCriterion(class_loss="cross_entropy").require_fit(no_object=False)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"class_loss": "cross_entropy", "gamma": 2.0}, "gamma=2.0 with class_loss=cross_entropy"),
        ({"alpha": 1.5}, "alpha=1.5; wanted 0 to 1"),
        ({"gamma": 0.5}, "gamma=0.5; wanted 0, or 1 or more"),
        ({"weight_dice": -1.0}, "weight_dice=-1.0; wanted a number of 0 or more"),
        ({"cost_giou": float("nan")}, "cost_giou=nan; wanted a number of 0 or more"),
        ({"no_object_weight": float("inf")}, "no_object_weight=inf; wanted"),
        ({"num_points": 0}, "num_points=0; wanted 1 or more"),
    ],
)
def test_values_out_of_range_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        SetCriterion(**keys_of_criterion(keys))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_weighed_loss_does_not_depend_on_the_batches(kind):
    counts = (3, 0, 12, 1)
    detections, objects = made_up(kind, counts, masks=False)
    criterion = criterion_of(kind)
    whole = criterion(detections, objects)
    at_once = criterion.weighed(whole, detections, objects)
    torch.testing.assert_close(torch.tensor(loss_of(at_once)), whole["loss"])
    apart = torch.zeros(2, 2, dtype=torch.float64)
    firsts = [sum(counts[:image]) for image in range(len(counts))]
    for image, (first, count) in enumerate(zip(firsts, counts, strict=True)):
        own = slice(image, image + 1), slice(first, first + count)
        stages = [Stage(s.logits[own[0]], s.boxes_cxcywh[own[0]]) for s in detections.stages]
        part = (
            Detections(stages),
            Objects(objects.labels[own[1]], objects.boxes_cxcywh[own[1]], (count,)),
        )
        apart += criterion.weighed(criterion(*part), *part)
    torch.testing.assert_close(torch.tensor(loss_of(apart)), whole["loss"])
