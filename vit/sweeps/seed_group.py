"""One proposal of a search: a run for each seed, whose mean is what the sampler learns."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vit.sweeps.outcomes import value_of
from vit.sweeps.roles import Trial
from vit.sweeps.trial import Verdict

if TYPE_CHECKING:
    from optuna.trial import Trial as Proposal


@dataclass
class SeedGroup:
    """The runs of a proposal. Only the first takes part in pruning."""

    proposals: list[Proposal]  # several, where Optuna proposed the same again
    trials: list[Trial]
    waiting: deque[Trial] = field(default_factory=deque)
    verdicts: dict[str, Verdict] = field(default_factory=dict)  # by trial id
    settled: bool = False  # nothing more will be reported of it in this start
    reported: int = 0  # validations that Optuna knows

    @property
    def first(self) -> Trial:
        return self.trials[0]

    @property
    def paused(self) -> bool:
        return self.verdicts.get(self.first.id) == "paused"

    def take_next(self, *, pruning: bool) -> Trial | None:
        """A run to start now; with `pruning` the others wait until the first has come through."""
        if not self.waiting:
            return None
        is_first = self.waiting[0].id == self.first.id
        if pruning and not is_first and self.verdicts.get(self.first.id) != "done":
            return None
        return self.waiting.popleft()

    def give_up_waiting(self) -> None:
        """One seed was pruned or failed: the others are not worth their time."""
        for trial in self.waiting:
            self.verdicts[trial.id] = "pruned"
        self.waiting.clear()

    def mean(self, name: str) -> float | None:
        """Of a metric or fact over the seeds; None where one of them has no number."""
        values = [value_of(trial, name) for trial in self.trials]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        mean = sum(known) / len(known)
        return None if math.isnan(mean) else mean
