"""Contrastive denoising: queries of training that begin at the objects themselves, disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vit.boxes import cxcywh_to_xyxy
from vit.models.heads.valid_patches import ValidPatches
from vit.structures import Objects

LEAST_SIDE = 1e-3  # of a noised box, as a fraction of the image: layers stretch it by factors


@dataclass
class Noised:
    """Queries to be led through a decoder's layers; boxes in fractions of the real image.

    `sees` says which queries attend to which: those of one group of an image to one another, and
    none to those that only fill up. `objects` and `positive` as in `Denoised`, on the host.
    """

    content: Float[Tensor, "batch queries width"]
    references_cxcywh: Float[Tensor, "batch queries 4"]
    sees: Bool[Tensor, "batch 1 queries queries"]
    objects: Int[Tensor, "batch queries"]
    positive: Bool[Tensor, " queries"]


class Denoising(nn.Module):
    """Noised copies of the objects, to tell from what is near them: DINO's CDN queries.

    Each object gives a positive query, the corners of whose box are moved by up to half of its
    sides, and a negative one, by half to all of them, times `box_noise`; what a query knows is a
    learned vector of its class, which is drawn anew from all classes at a rate of `label_flip`.
    That of all objects is a group, of which there are as many as `num_queries` positive queries
    have room for in the image of the batch with most objects. Of an image with more objects than
    `num_queries` a random run of that many is copied.

    There are always 2 · `num_queries` queries an image, filled up with some that nobody sees, so
    that a step's shapes, cost and memory do not depend on what is to be found, and where nothing
    is, every parameter has a gradient of 0.

    Drawn, as dropout is, from torch's own generators: a run that is resumed in as many processes
    draws what it would have drawn; split among more or fewer, others.

    Raises ValueError for a value out of its range.

    Source: Zhang et al. 2022 (DINO), arXiv:2203.03605, section 3.3.
    """

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        num_queries: int = 100,
        label_flip: float = 0.25,
        box_noise: float = 1.0,
    ):
        super().__init__()
        _refuse(num_queries, label_flip, box_noise)
        self.num_queries, self.label_flip, self.box_noise = num_queries, label_flip, box_noise
        self.labels = nn.Parameter(torch.empty(num_classes, width))
        nn.init.normal_(self.labels)

    # Not compiled: each combination of counts would be a graph of its own.
    @torch.compiler.disable
    def forward(self, objects: Objects | None, frame: ValidPatches, images: Tensor) -> Noised:
        """`frame` tells where the real images lie; without objects all queries only fill up."""
        device = images.device
        if objects is None:
            nothing = torch.zeros(0, dtype=torch.long, device=device)
            objects = Objects(nothing, torch.zeros(0, 4, device=device), (0,) * len(images))
        number, positive, group = arranged(objects.counts, self.num_queries)
        # From memory that is not pinned such a copy does not wait for the device's work.
        own = number.to(device, non_blocking=True)
        with torch.no_grad():
            # What fills up reads one entry more, at -1: a box over all of the image.
            labels = F.pad(objects.labels, (0, 1))[own]
            whole = torch.tensor([[0.5, 0.5, 1.0, 1.0]], device="cpu")
            boxes = torch.cat([objects.boxes_cxcywh.float(), whole.to(device, non_blocking=True)])
            labels = self._flipped(labels)
            boxes = self._moved(frame.inward_boxes(boxes[own]), positive)
            together = (group[:, None] == group).to(device, non_blocking=True)
            sees = (together & (own >= 0)[:, None])[:, None]
        return Noised(F.embedding(labels, self.labels), boxes, sees, number, positive)

    def _flipped(self, labels: Tensor) -> Tensor:
        flip = torch.rand(labels.shape, device=labels.device) < self.label_flip
        drawn = torch.randint(len(self.labels), labels.shape, device=labels.device)
        return torch.where(flip, drawn, labels)

    def _moved(self, boxes_cxcywh: Tensor, positive: Tensor) -> Tensor:
        """Inside of the image; a box turned inside out, as a negative may be, is thin instead."""
        device = boxes_cxcywh.device
        sign = torch.randint(2, boxes_cxcywh.shape, device=device) * 2 - 1
        share = torch.rand(boxes_cxcywh.shape, device=device)
        share = share + (~positive).to(device, non_blocking=True)[:, None]
        reach = boxes_cxcywh[..., 2:].repeat(1, 1, 2) / 2 * self.box_noise
        corners = (cxcywh_to_xyxy(boxes_cxcywh) + sign * share * reach).clamp(0, 1)
        low, high = corners.chunk(2, dim=-1)
        return torch.cat([(low + high) / 2, (high - low).clamp(min=LEAST_SIDE)], dim=-1)


def arranged(
    counts: Sequence[int], num_queries: int
) -> tuple[Int[Tensor, "batch queries"], Bool[Tensor, " queries"], Int[Tensor, " queries"]]:
    """Of 2 · `num_queries` queries: whose copy each is (-1: nobody's), if positive, which group.

    A group is the positive queries, one an object of the image with most, and then as many
    negative ones. Made of `counts` alone, on the host, so that nobody asks the device.
    """
    crowd = max(counts, default=0)
    most = min(max(crowd, 1), num_queries)
    query = torch.arange(2 * num_queries, device="cpu")
    group, place = query // (2 * most), query % most
    have = torch.tensor(counts, dtype=torch.long, device="cpu")[:, None]
    first, turn = have.cumsum(0) - have, torch.zeros_like(have)
    if crowd > most:
        turn = (torch.rand(have.shape, device="cpu") * have).long().where(have > most, 0)
    real = (place < have) & (group < num_queries // most)
    number = (first + (place + turn) % have.clamp(min=1)).where(real, -1)
    return number, query % (2 * most) < most, group


def _refuse(num_queries: int, label_flip: float, box_noise: float) -> None:
    change = "Change head.denoising."
    if num_queries < 1:
        raise ValueError(f"head.denoising.num_queries={num_queries}: must be at least 1. {change}")
    if not 0 <= label_flip <= 1:
        raise ValueError(f"head.denoising.label_flip={label_flip}: a rate, wanted 0 to 1. {change}")
    if not 0 < box_noise <= 1:
        raise ValueError(
            f"head.denoising.box_noise={box_noise}: wanted above 0, where positive and negative "
            f"boxes would be the same, and at most 1, beyond which positive ones turn inside out. "
            f"{change}"
        )
