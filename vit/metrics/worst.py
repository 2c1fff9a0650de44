"""The samples of an evaluation that went worst, with what is needed to draw them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

import torch.distributed as dist

from vit.runs.distributed import several_ranks


class Worst:
    """Keeps the `most` samples with the highest scores, and what belongs to each.

    Of equal scores the lower index is kept, so that neither batches nor ranks tell in the result.
    """

    def __init__(self, most: int):
        self.most = most
        self.reset()

    def reset(self) -> None:
        self._kept: list[tuple[float, int, Any]] = []  # -score, index, what belongs to it
        self.rows: list[tuple[float, int, Any]] = []

    def update(
        self, scores: Sequence[float], index: Sequence[int], own: Callable[[int], Any]
    ) -> None:
        """Adds a batch; `own(row)`, which can be sent between processes, is asked of what stays."""
        for row, (score, sample) in enumerate(zip(scores, index, strict=True)):
            place = (-score, sample)
            if len(self._kept) < self.most or place < self._kept[-1][:2]:
                insort(self._kept, (*place, own(row)), key=lambda kept: kept[:2])
                del self._kept[self.most :]

    def compute(self) -> None:
        """Fills `rows` (score, index, what belongs to it; the worst first) from all ranks."""
        kept, self._kept = self._kept, []
        if several_ranks():
            gathered: list[list[tuple[float, int, Any]]] = [
                [] for _ in range(dist.get_world_size())
            ]
            dist.all_gather_object(gathered, kept)
            kept = sorted((row for share in gathered for row in share), key=lambda row: row[:2])
        self.rows = [(-score, index, own) for score, index, own in kept[: self.most]]
