"""Which query answers for which object: the cheapest assignment, image by image.

Source: Carion et al. 2020, arXiv:2005.12872, section 3.1; the focal cost as in Zhu et al. 2021,
arXiv:2010.04159; costs of masks, Cheng et al. 2022, arXiv:2112.01527.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vit.boxes import cxcywh_to_xyxy, pairwise_generalized_iou
from vit.losses.masks import (
    NUM_POINTS,
    affordable,
    generator_or_fixed,
    mask_costs,
    random_points,
)
from vit.losses.weights import MatchingCosts
from vit.structures import Detections, Objects, Stage

ALPHA, GAMMA = 0.25, 2.0  # of the focal cost
EPSILON = 1e-8  # within its logarithms, as in the source
WORST = 1e9  # of a pair whose cost is no number: matched only where nothing else is left


@dataclass(frozen=True)
class Match:
    """The pairs of one stage over the whole batch: which image, which query, which object.

    `objects` count over the batch, as in `Objects`.
    """

    images: Tensor
    queries: Tensor
    objects: Tensor


@dataclass(frozen=True)
class Matcher:
    """Costs of class, box (L1 of cxcywh), generalised IoU and mask, weighed and summed.

    Boxes and masks count where a head answers them. `kind` says how a class is answered: each for
    itself ("focal"), or all and "no object" in one softmax. In groups, each group of queries is
    assigned to all objects by itself. Masks are compared at `num_points` random points an image,
    or as many as the objects' masks have pixels.

    Raises ValueError for no points.
    """

    term_costs: MatchingCosts = field(default_factory=MatchingCosts)
    kind: Literal["focal", "softmax"] = "focal"
    num_points: int = NUM_POINTS

    def __post_init__(self) -> None:
        if self.num_points < 1:
            raise ValueError(f"num_points={self.num_points}; wanted 1 or more.")

    @torch.no_grad()
    def match_all(
        self,
        detections: Detections,
        objects: Objects,
        generator: torch.Generator | None = None,
    ) -> tuple[list[Match], int]:
        """The pairs of each stage, and how many costs were no numbers.

        All costs go to the host in one copy. The points of masks are drawn from `generator`, and
        are always the same without one. Raises ValueError where the queries of a stage are no
        whole multiple of the groups, or boxes and masks do not tell where they look.
        """
        generator = generator_or_fixed(generator, detections.answer.logits.device)
        for stage in detections.stages:
            _refuse(stage, detections.groups, objects)
        costs = [self.costs(stage, objects, generator) for stage in detections.stages]
        on_host = torch.cat([cost.flatten() for cost in costs]).cpu()
        broken = ~on_host.isfinite()
        # A divergence must not pass in silence: the count is returned, and such pairs come last.
        parts = on_host.masked_fill(broken, WORST).split([cost.numel() for cost in costs])
        found = [
            assigned(part.view(cost.shape).numpy(), objects.counts, detections.groups)
            for part, cost in zip(parts, costs, strict=True)
        ]
        return found, int(broken.sum())

    def costs(self, stage: Stage, objects: Objects, generator: torch.Generator) -> Tensor:
        """[images, queries, objects of the image with most], the rest of the last axis 0."""
        device = stage.logits.device
        with torch.autocast(device.type, enabled=False):
            at, inside = (part.to(device) for part in padded(objects.counts))
            total = self.term_costs.class_ * self._of_class(
                stage.logits.float(), objects.labels[at]
            )
            if stage.boxes_cxcywh is not None:
                boxes, targets = stage.boxes_cxcywh.float(), objects.boxes_cxcywh.float()[at]
                overlap = pairwise_generalized_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(targets))
                total += self.term_costs.box * torch.cdist(boxes, targets, p=1)
                total -= self.term_costs.giou * overlap
            if stage.masks is not None:
                self._add_masks(total, stage.masks, objects, generator)
            return total.where(inside[:, None], 0.0)

    def _add_masks(
        self, total: Tensor, masks: Tensor, objects: Objects, generator: torch.Generator
    ) -> None:
        """Image by image: all together would need room for the image with most objects."""
        assert objects.masks is not None  # refused before
        num_points = affordable(self.num_points, objects.masks)
        points = random_points(len(masks), num_points, generator, masks.device)
        own = objects.masks.split(objects.counts)
        for image, count in enumerate(objects.counts):
            if count:
                mask, dice = mask_costs(masks[image], own[image], points[image])
                total[image, :, :count] += self.term_costs.mask * mask + self.term_costs.dice * dice

    def _of_class(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[images, queries, objects] of logits [images, queries, classes]."""
        at = labels[:, None].expand(-1, logits.shape[1], -1)
        if self.kind == "softmax":
            return -logits.softmax(-1).gather(2, at)
        score = logits.gather(2, at).sigmoid()
        missed = ALPHA * (1 - score) ** GAMMA * -(score + EPSILON).log()
        wrong = (1 - ALPHA) * score**GAMMA * -(1 - score + EPSILON).log()
        return missed - wrong


def assigned(costs: np.ndarray, counts: tuple[int, ...], groups: int) -> Match:
    """The cheapest pairs; costs are [images, queries, objects of the image with most]."""
    found: list[np.ndarray] = [np.zeros((3, 0), dtype=np.int64)]
    size, first = costs.shape[1] // groups, 0
    for image, count in enumerate(counts):
        for group in range(groups) if count else ():
            start = group * size
            queries, numbers = linear_sum_assignment(costs[image, start : start + size, :count])
            images = np.full_like(queries, image)
            found.append(np.stack([images, queries + start, numbers + first]))
        first += count
    return Match(*torch.from_numpy(np.concatenate(found, axis=1)))


def padded(counts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """[images, most]: the number of each object in the batch, and whether there is one.

    Made of `counts` alone, which the host has: to ask the device would stall it.
    """
    have, place = torch.tensor(counts, dtype=torch.long), torch.arange(max(counts, default=0))
    inside = place < have[:, None]
    first = have.cumsum(0) - have
    return (first[:, None] + place).where(inside, 0), inside


def _refuse(stage: Stage, groups: int, objects: Objects) -> None:
    if stage.boxes_cxcywh is None and stage.masks is None:
        raise ValueError(
            "a stage answers neither boxes nor masks, so that nothing says where its queries "
            "look; wanted a head that answers at least one of them."
        )
    if stage.masks is not None and objects.masks is None:
        raise ValueError(
            "the head answers masks, but the objects have none to train them by; "
            "use data with masks, or a head without."
        )
    queries = stage.logits.shape[1]
    if queries % groups:
        raise ValueError(
            f"a stage has {queries} queries, which {groups} groups cannot share equally; "
            "wanted the same number of queries in each group."
        )
