"""Successive halving that pauses trials instead of ending them, and goes on with the best.

A trial pauses at each rung (min_resource, min_resource · η, min_resource · η², … validations) with
its checkpoint. The best 1/η of a rung go on, from where they paused, to the next. Since a paused
trial can still go on, nothing is lost by who came first: a pruner that ends trials for good must
decide about the first ones when it has seen nothing else.

Sources: Jamieson and Talwalkar 2016, arXiv:1502.07943 (successive halving); Li et al. 2020,
arXiv:1810.05934, algorithm 2 (asynchronous, "ASHA").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(kw_only=True)
class SuccessiveHalving:
    """The settings, as `sweep.sampler.pruner`.

    Args:
        min_resource: validations until the first rung.
        reduction_factor: η; one in so many goes on.
        asynchronous: go on with what is in the best 1/η of those seen so far, so that no job
            waits. Without, only with what is certain to be in the best 1/η of the whole rung:
            then neither the order of the trials nor how many run at once can change the outcome,
            and no epoch is spent on a mistake.
    """

    min_resource: int = 1
    reduction_factor: int = 3
    asynchronous: bool = True

    def __post_init__(self) -> None:
        if self.min_resource < 1:
            message = f"min_resource={self.min_resource}; wanted 1 validation or more."
            raise ValueError(f"sweep.sampler.pruner.{message}")
        if self.reduction_factor < 2:
            message = f"reduction_factor={self.reduction_factor}; wanted 2 or more."
            raise ValueError(f"sweep.sampler.pruner.{message}")


@dataclass
class Rung:
    """What is known of those that reached it."""

    values: dict[str, float]  # key → the metric there, the higher the better
    gone_on: set[str]


class Race:
    """Who pauses and who goes on. A key stands for a trial; `mode` is max or min."""

    def __init__(self, settings: SuccessiveHalving, mode: str):
        self._settings = settings
        self._sign = 1 if mode == "max" else -1
        self._coming: set[str] = set()  # those that may still reach further rungs
        self._rungs: list[Rung] = []

    def enter(self, key: str) -> None:
        self._coming.add(key)

    def finish(self, key: str) -> None:
        """It was trained to its end, and stays what others are compared with."""
        self._coming.discard(key)
        for rung in self._rungs:
            if key in rung.values:
                rung.gone_on.add(key)

    def drop(self, key: str) -> None:
        """It failed, and will not come any further."""
        self._coming.discard(key)

    def take(self, key: str, validation: int, value: float) -> bool:
        """Notes the `validation`-th value of a trial; whether that is a rung it still stands at."""
        at = self._rung_at(validation)
        if at is None:
            return False
        while len(self._rungs) <= at:
            self._rungs.append(Rung({}, set()))
        self._rungs[at].values[key] = self._sign * value
        if at:
            self._rungs[at - 1].gone_on.add(key)
        return key not in self._rungs[at].gone_on

    def good(self, to_come: int) -> list[str]:
        """Those that may go on from where they stand, the furthest first, then the best.

        `to_come` is how many trials have not entered yet.
        """
        rungs = reversed(list(self._expected(to_come)))
        return [key for rung, expected in rungs for key in self._good(rung, expected)]

    def go_on(self, key: str) -> None:
        """It leaves the last rung that it reached."""
        next(rung for rung in reversed(self._rungs) if key in rung.values).gone_on.add(key)

    def _good(self, rung: Rung, expected: int) -> list[str]:
        """Those that may go on from here and have not, the best first."""
        ranked = sorted(rung.values, key=lambda key: (-rung.values[key], key))
        seen, eta = len(ranked), self._settings.reduction_factor
        certain = max(expected // eta, 1) - (expected - seen)  # even if all others are better
        many = max(certain, seen // eta if self._settings.asynchronous else 0)
        return [key for key in ranked[: max(many, 0)] if key not in rung.gone_on]

    def _expected(self, to_come: int) -> Iterator[tuple[Rung, int]]:
        """Each rung with how many will have reached it in the end."""
        if not self._rungs:
            return
        expected = to_come + len(self._coming | set(self._rungs[0].values))
        for at, rung in enumerate(self._rungs):
            yield rung, expected
            after = self._rungs[at + 1].values if at + 1 < len(self._rungs) else {}
            lost = sum(key not in self._coming and key not in after for key in rung.gone_on)
            will_go = max(expected // self._settings.reduction_factor, 1)
            expected = max(will_go, len(rung.gone_on)) - lost

    def _rung_at(self, validation: int) -> int | None:
        at, here = 0, self._settings.min_resource
        while here < validation:
            at, here = at + 1, here * self._settings.reduction_factor
        return at if here == validation else None
