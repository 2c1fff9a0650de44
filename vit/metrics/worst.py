"""The samples of an evaluation that went worst, with what is needed to draw them."""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

from vit.metrics.ranks import several_ranks


class Worst:
    """Keeps the `most` samples with the highest scores; tensors of one size belong to each.

    Memory does not grow with the evaluation, and a batch is added without waiting for the device.
    """

    def __init__(self, most: int):
        self.most = most
        self.reset()

    def reset(self) -> None:
        self._kept: tuple[Tensor, ...] | None = None  # scores, index, and what belongs to them
        self.rows: list[tuple[float, int, tuple[Tensor, ...]]] = []

    def update(
        self, scores: Float[Tensor, " batch"], index: Int[Tensor, " batch"], *own: Tensor
    ) -> None:
        added = (scores, index.to(scores.device), *own)
        kept = self._kept
        both = added if kept is None else tuple(map(torch.cat, zip(kept, added, strict=True)))
        best = both[0].topk(min(self.most, len(both[0]))).indices
        self._kept = tuple(each[best] for each in both)

    def compute(self) -> None:
        """Fills `rows` (score, index, what belongs to it; the worst first) from all ranks."""
        kept = [] if self._kept is None else [each.cpu() for each in self._kept]
        self._kept = None
        shares = [kept]
        if several_ranks():
            gathered: list = [None] * dist.get_world_size()
            dist.all_gather_object(gathered, kept)
            shares = gathered
        rows = [
            (score, index, own)
            for share in shares
            if share
            for score, index, *own in zip(
                share[0].tolist(), share[1].tolist(), *share[2:], strict=True
            )
        ]
        rows.sort(key=lambda row: (-row[0], row[1]))
        self.rows = [(score, index, tuple(own)) for score, index, own in rows[: self.most]]
