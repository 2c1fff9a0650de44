"""Answers and objects made up at random, for the tests of the criterion."""

import torch

from vit.losses.detection import SetCriterion
from vit.losses.weights import LossWeights, MatchingCosts
from vit.structures import Detections, Objects, Stage

CLASSES, QUERIES = 4, 10
KINDS = ("ia_bce", "mal", "vfl", "focal", "cross_entropy")


def criterion_of(kind, **keys):
    """With weights and costs by the names that they have in a config."""
    return SetCriterion(class_loss=kind, num_points=50, **keys_of_criterion(keys))


def keys_of_criterion(keys):
    """Keys of a config as the criterion's own: `weights` and `costs` are one value each."""
    terms = {"weight_": {}, "cost_": {}}
    own = {}
    for name, value in keys.items():
        start = next((start for start in terms if name.startswith(start)), None)
        if start is None:
            own[name] = value
        else:
            term = name.removeprefix(start)
            terms[start]["class_" if term == "class" else term] = value
    own["weights"] = LossWeights(**terms["weight_"])
    own["costs"] = MatchingCosts(**terms["cost_"])
    return own


def made_up(kind, counts, stages=2, queries=QUERIES, masks=True, seed=0):
    torch.manual_seed(seed)
    columns, total = CLASSES + (kind == "cross_entropy"), sum(counts)
    found = [
        Stage(
            torch.randn(len(counts), queries, columns, requires_grad=True),
            (torch.rand(len(counts), queries, 4) * 0.4 + 0.1).requires_grad_(),
            torch.randn(len(counts), queries, 4, 5, requires_grad=True) if masks else None,
        )
        for _ in range(stages)
    ]
    truth = torch.rand(total, 8, 10) > 0.5 if masks else None
    objects = Objects(
        torch.randint(CLASSES, (total,)), torch.rand(total, 4) * 0.4 + 0.1, counts, truth
    )
    return Detections(found), objects


def answers_of(detections):
    return [
        answer
        for stage in detections.stages
        for answer in (stage.logits, stage.boxes_cxcywh, stage.masks)
        if answer is not None
    ]
