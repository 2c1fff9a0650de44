"""Which query answers for which object: the cheapest assignment, image by image.

Source: Carion et al. 2020, arXiv:2005.12872, section 3.1; the focal cost as in Zhu et al. 2021,
arXiv:2010.04159.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vit.boxes import cxcywh_to_xyxy, pairwise_generalized_iou
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
    """Costs of class, box (L1 of cxcywh) and generalised IoU, weighed and summed.

    `kind` says how a class is answered: each for itself ("focal"), or all and "no object" in one
    softmax. In groups, each group of queries is assigned to all objects by itself.
    """

    cost_class: float = 2.0
    cost_box: float = 5.0
    cost_giou: float = 2.0
    kind: Literal["focal", "softmax"] = "focal"

    @torch.no_grad()
    def match_all(self, detections: Detections, objects: Objects) -> tuple[list[Match], int]:
        """The pairs of each stage, and how many costs were no numbers.

        All costs go to the host in one copy.
        """
        costs = torch.stack([self.costs(stage, objects) for stage in detections.stages])
        on_host = costs.cpu()
        broken = ~on_host.isfinite()
        # Whoever diverges is to be told: the count is given back, and the pairs come last.
        on_host = on_host.masked_fill(broken, WORST)
        found = [self._assigned(cost, objects, detections.groups) for cost in on_host]
        return found, int(broken.sum())

    def costs(self, stage: Stage, objects: Objects) -> Tensor:
        """[images, queries, objects of the image with most], the rest of the last axis 0."""
        if stage.boxes_cxcywh is None:
            raise ValueError(
                "this stage has no boxes to match by; wanted a head that answers boxes"
            )
        logits, boxes = stage.logits.float(), stage.boxes_cxcywh.float()
        most = max(objects.counts, default=0)
        labels, targets = padded(objects, most)  # [images, most], [images, most, 4]
        at = labels[:, None].expand(-1, logits.shape[1], -1)
        if self.kind == "softmax":
            of_class = -logits.softmax(-1).gather(2, at)
        else:
            share = logits.sigmoid()
            missed = ALPHA * (1 - share) ** GAMMA * -(share + EPSILON).log()
            wrong = (1 - ALPHA) * share**GAMMA * -(1 - share + EPSILON).log()
            of_class = (missed - wrong).gather(2, at)
        of_box = (boxes[:, :, None] - targets[:, None]).abs().sum(-1)
        overlap = pairwise_generalized_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(targets))
        total = self.cost_class * of_class + self.cost_box * of_box - self.cost_giou * overlap
        inside = torch.arange(most) < torch.tensor(objects.counts)[:, None]
        return total.where(inside.to(total.device)[:, None], 0.0)

    def _assigned(self, costs: Tensor, objects: Objects, groups: int) -> Match:
        images, queries, numbers = [], [], []
        size, first = costs.shape[1] // groups, 0
        for image, count in enumerate(objects.counts):
            for group in range(groups):
                own = costs[image, group * size : (group + 1) * size, :count].numpy()
                rows, columns = linear_sum_assignment(own)
                images += [image] * len(rows)
                queries += (rows + group * size).tolist()
                numbers += (columns + first).tolist()
            first += count
        return Match(*(torch.tensor(each, dtype=torch.long) for each in (images, queries, numbers)))


def padded(objects: Objects, most: int) -> tuple[Tensor, Tensor]:
    """Labels and boxes with an axis for the images; what is not there is class 0 and no box."""
    images = len(objects.counts)
    labels = objects.labels.new_zeros(images, most)
    boxes = objects.boxes_cxcywh.new_zeros(images, most, 4).float()
    first = 0
    for image, count in enumerate(objects.counts):
        labels[image, :count] = objects.labels[first : first + count]
        boxes[image, :count] = objects.boxes_cxcywh[first : first + count]
        first += count
    return labels, boxes
