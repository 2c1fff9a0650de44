"""Samplers that know all their trials beforehand."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vit.runs.state import Order
from vit.sweeps.roles import Trial
from vit.sweeps.trial import Verdict


@dataclass(kw_only=True)
class Grid:
    """Every point of the grid or of a list, in that order."""

    searches = False


class Planned:
    """Proposes planned trials, one after another."""

    def __init__(self, trials: list[Trial]):
        self._waiting = deque(trials)
        self.total: int | None = len(trials)
        self.notes: list[str] = []

    def next(self) -> Trial | None:
        return self._waiting.popleft() if self._waiting else None

    def is_done(self) -> bool:
        return not self._waiting

    def report(self, trial: Trial, step: int, value: float) -> Order | None:
        return None

    def tell(self, trial: Trial, verdict: Verdict) -> None:
        return None
