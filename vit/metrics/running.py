"""Means of training metrics that cost a step next to nothing: sums stay on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from vit.runs.distributed import several_ranks, sum_dtype, sum_over_ranks

MOST_RECORDS = 1024  # kept on the device at once, so that a run that never asks stays small


class FirstBad(NamedTuple):
    """The first step whose metrics were not finite, the images of that batch, and its process."""

    step: int
    indices: list[int]
    rank: int = 0


class RunningMeans:
    """Means of scalars since the last `flush`, each record weighted by its number of images.

    `add` neither waits for the device nor moves anything to the host. The other methods wait
    once. Looking changes nothing: a mean is the same bit for bit however often a progress bar
    asked for it, or a checkpoint was written and read, in between.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], _Sums] = {}  # by the names recorded together
        self._restored: dict[str, list[float]] = {}
        self._bad: FirstBad | None = None
        self._flushed_means: dict[str, float] = {}
        self._flushed_bad: FirstBad | None = None

    def add(
        self, metrics: Mapping[str, Tensor], weight: int, step: int, index: Tensor | None = None
    ) -> None:
        """One record of scalar tensors that all lie on one device."""
        names = tuple(metrics)
        values = torch.stack(list(metrics.values())).detach()
        sums = self._sums.get(names)
        if sums is None:
            sums = self._sums[names] = self._begin(names, values.device)
        elif len(sums.records) == MOST_RECORDS:
            self._look()
        sums.add(values, weight, step, index)

    def peek(self) -> dict[str, float]:
        """This process's means since the last flush; where there is nothing yet, those before."""
        return _means(self._look()) or self._flushed_means

    def first_bad(self, device: torch.device) -> FirstBad | None:
        """The first record that was not finite, since the last flush or in what it returned.

        Every rank must call it at the same step, and all get the same answer.
        """
        self._look()
        return _earliest(self._bad or self._flushed_bad, device)

    def flush(self, device: torch.device) -> dict[str, float]:
        """The means over all ranks since the last flush; forgets them.

        Every rank must call it at the same step, with the same names recorded.
        """
        totals = self._look()
        if several_ranks() and totals:
            totals = _over_ranks(totals, device)
        self._flushed_means = _means(totals)
        self._flushed_bad = self._bad
        self._bad = None
        self._sums = {}
        self._restored = {}
        return self._flushed_means

    def state(self) -> dict[str, list[float]]:
        """Sum and weight of each mean since the last flush, as plain values; waits once."""
        return {name: [total, float(weight)] for name, (total, weight) in self._look().items()}

    def restore(self, state: Mapping[str, list[float]]) -> None:
        """Goes on from what `state` returned."""
        self._restored = {name: list(values) for name, values in state.items()}

    def _begin(self, names: tuple[str, ...], device: torch.device) -> _Sums:
        """Zeros, or what was restored, so that the sum goes on in the order in which it was."""
        sums = _Sums(len(names), device)
        restored = self._restored
        if tuple(restored) == names and len({weight for _, weight in restored.values()}) == 1:
            totals = [total for total, _ in restored.values()]
            sums.values += torch.tensor(totals, dtype=sums.values.dtype, device=device)
            sums.weight = round(restored[names[0]][1])
            self._restored = {}
        return sums

    def _look(self) -> dict[str, tuple[float, int]]:
        """Name → sum and weight; takes note of the first bad step."""
        totals = {name: (total, round(weight)) for name, (total, weight) in self._restored.items()}
        for names, sums in self._sums.items():
            values, bad = sums.look()
            found = [one for one in (self._bad, bad) if one is not None]
            self._bad = min(found, key=lambda one: one.step, default=None)
            for name, value in zip(names, values, strict=True):
                total, weight = totals.get(name, (0.0, 0))
                totals[name] = (total + value, weight + sums.weight)
        return totals


class _Sums:
    """The sums of scalars that are recorded together.

    Once a value is not finite the sum of the sums stays so: counting the records before that
    tells the first bad one without looking at any of them.
    """

    def __init__(self, count: int, device: torch.device):
        self.values = torch.zeros(count, dtype=sum_dtype(device), device=device)
        self.weight = 0
        self.records: list[tuple[int, Tensor | None]] = []  # step and images, since the last look
        self._good = torch.zeros((), dtype=torch.int64, device=device)  # of these records

    @torch.no_grad()
    def add(self, values: Tensor, weight: int, step: int, index: Tensor | None) -> None:
        self.values.add_(values, alpha=weight)
        self._good.add_(torch.isfinite(self.values.sum()))
        self.weight += weight
        self.records.append((step, index))

    def look(self) -> tuple[list[float], FirstBad | None]:
        """The one place that waits for the device."""
        *values, good = torch.cat([self.values, self._good.to(self.values).view(1)]).tolist()
        bad = None
        if good < len(self.records):
            step, index = self.records[int(good)]
            bad = FirstBad(step, [] if index is None else index.tolist())
        self.records.clear()
        self._good.zero_()
        return values, bad


def _means(totals: dict[str, tuple[float, int]]) -> dict[str, float]:
    return {name: total / weight for name, (total, weight) in totals.items() if weight}


def _over_ranks(
    totals: dict[str, tuple[float, int]], device: torch.device
) -> dict[str, tuple[float, int]]:
    flat = torch.tensor(list(totals.values()), dtype=sum_dtype(device), device=device)
    pairs = zip(totals, sum_over_ranks(flat).tolist(), strict=True)
    return {name: (total, round(weight)) for name, (total, weight) in pairs}


def _earliest(bad: FirstBad | None, device: torch.device) -> FirstBad | None:
    if not several_ranks():
        return bad
    if not sum_over_ranks(torch.tensor(int(bad is not None), device=device)).item():
        return None
    found: list[FirstBad | None] = [None] * dist.get_world_size()
    dist.all_gather_object(found, bad)
    named = [one._replace(rank=rank) for rank, one in enumerate(found) if one is not None]
    return min(named, key=lambda one: one.step)
