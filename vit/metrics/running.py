"""Means of training metrics that cost a step next to nothing: sums stay on the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from vit.metrics.ranks import several_ranks, sum_dtype, sum_over_ranks

MOST_RECORDS = 1024  # kept on the device at once, so that a run that never asks stays small


class FirstBad(NamedTuple):
    """The first step whose metrics were not finite, and the images of that batch."""

    step: int
    indices: list[int]


class RunningMeans:
    """Means of scalars since the last `flush`, each record weighted by its number of images.

    `add` neither waits for the device nor moves anything to the host. `peek`, `flush` and
    `first_bad` wait once. Once something is not finite the sum of all sums stays so: counting
    the records before that tells the first bad one without looking at any of them.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None  # on the device, one per name
        self._good = torch.zeros(())  # records before the first bad one, on the device
        self._weight = 0
        self._records: list[tuple[int, Tensor | None]] = []  # step and images of each
        self._folded: dict[str, tuple[float, int]] = {}  # name → sum and weight, on the host
        self._bad: FirstBad | None = None
        self._flushed_means: dict[str, float] = {}
        self._flushed_bad: FirstBad | None = None

    def add(
        self, metrics: Mapping[str, Tensor], weight: int, step: int, index: Tensor | None = None
    ) -> None:
        """One record of scalar tensors that all lie on one device."""
        names = tuple(metrics)
        if names != self._names or self._sums is None or len(self._records) == MOST_RECORDS:
            self._fold()
            self._names = names
            device = next(iter(metrics.values())).device
            self._sums = torch.zeros(len(names), dtype=sum_dtype(device), device=device)
            self._good = torch.zeros((), dtype=torch.int64, device=device)
        with torch.no_grad():
            self._sums.add_(torch.stack(list(metrics.values())), alpha=weight)
            self._good.add_(torch.isfinite(self._sums.sum()))
        self._weight += weight
        self._records.append((step, index))

    def peek(self) -> dict[str, float]:
        """This process's means since the last flush; where there is nothing yet, those before."""
        self._fold()
        return _means(self._folded) or self._flushed_means

    def first_bad(self) -> FirstBad | None:
        """The first record that was not finite, since the last flush or in what it returned."""
        self._fold()
        return self._bad or self._flushed_bad

    def flush(self, device: torch.device) -> dict[str, float]:
        """The means over all ranks since the last flush; forgets them.

        Every rank must call it at the same step, with the same names recorded. Afterwards
        `first_bad` agrees on all ranks.
        """
        self._fold()
        bad = self._bad
        if several_ranks():
            self._folded = _sum_folded(self._folded, device)
            if not all(math.isfinite(total) for total, _ in self._folded.values()):
                bad = _earliest(bad)
        self._flushed_means = _means(self._folded)
        self._flushed_bad = bad
        self._folded = {}
        self._bad = None
        return self._flushed_means

    def state(self) -> dict[str, list[float]]:
        """Sum and weight of each mean since the last flush, as plain values; waits once."""
        self._fold()
        return {name: [total, float(weight)] for name, (total, weight) in self._folded.items()}

    def restore(self, state: Mapping[str, list[float]]) -> None:
        """Goes on from what `state` returned."""
        self._folded = {name: (total, round(weight)) for name, (total, weight) in state.items()}

    def _fold(self) -> None:
        """Moves the sums to the host: the one place that waits for the device."""
        if self._sums is None or not self._records:
            return
        *sums, good = torch.cat([self._sums, self._good.to(self._sums).view(1)]).tolist()
        for name, value in zip(self._names, sums, strict=True):
            total, weight = self._folded.get(name, (0.0, 0))
            self._folded[name] = (total + value, weight + self._weight)
        if good < len(self._records) and self._bad is None:
            step, index = self._records[int(good)]
            self._bad = FirstBad(step, [] if index is None else index.tolist())
        self._records.clear()
        self._weight = 0
        self._sums.zero_()
        self._good.zero_()


def _means(folded: dict[str, tuple[float, int]]) -> dict[str, float]:
    return {name: total / weight for name, (total, weight) in folded.items() if weight}


def _sum_folded(
    folded: dict[str, tuple[float, int]], device: torch.device
) -> dict[str, tuple[float, int]]:
    flat = torch.tensor(list(folded.values()), dtype=sum_dtype(device), device=device).view(-1, 2)
    totals = sum_over_ranks(flat).tolist()
    return {
        name: (total, int(weight)) for name, (total, weight) in zip(folded, totals, strict=True)
    }


def _earliest(bad: FirstBad | None) -> FirstBad | None:
    found: list[FirstBad | None] = [None] * dist.get_world_size()
    dist.all_gather_object(found, bad)
    return min((one for one in found if one is not None), default=None)
