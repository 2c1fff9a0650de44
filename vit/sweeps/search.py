"""Optuna proposes the trials: any of its samplers, any of its pruners, its own storage.

One Optuna trial is one proposal: a group of runs that differ in their seed, where several are
given. The objective is the mean over the group. Only the first seed of each group takes part in
pruning, and the others start once it has come through, so that luck is never compared with other
luck.

Optuna's pruners end a trial for good. Our own (vit/sweeps/halving.py) pauses it: its group rests
until the race says that it goes on, or that nobody does any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, cast

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.state import Order
from vit.slots import Takes
from vit.sweeps.follow import validations
from vit.sweeps.halving import Race, SuccessiveHalving
from vit.sweeps.roles import Space, Trial
from vit.sweeps.seed_group import SeedGroup
from vit.sweeps.study import Study
from vit.sweeps.trial import Verdict
from vit.sweeps.trial_row import TrialRow, is_over

if TYPE_CHECKING:
    from optuna.trial import Trial as Proposal


@dataclass(kw_only=True)
class Search:
    """The settings.

    Args:
        n_trials: proposals in all, those of earlier starts among them.
        sampler: any of optuna.samplers.
        pruner: any of optuna.pruners, or vit.sweeps.halving.SuccessiveHalving, or None.
        exhaustive: every point of the grid instead of what the sampler proposes, for pruning a
            grid; in an order drawn with `order_seed`, since the first to come are compared with
            few, and sorted points would all look promising.
        order_seed: of that order.
        storage: where Optuna keeps the study: a URL, or None for study.journal in the sweep's
            folder.
        constraints: what a proposal must not exceed to count as feasible, by the name of a metric
            or of a fact (parameters, gflops_per_image).
    """

    n_trials: int = 50
    sampler: Annotated[Any, Takes(("optuna.samplers.BaseSampler",))] = None
    pruner: Annotated[
        Any, Takes(("optuna.pruners.BasePruner", "vit.sweeps.halving.SuccessiveHalving"))
    ] = None
    exhaustive: bool = False
    order_seed: int = 0
    storage: str | None = None
    constraints: dict[str, float] = field(default_factory=dict)

    searches = True

    def __post_init__(self) -> None:
        if type(self.sampler).__name__ in ("GridSampler", "BruteForceSampler"):
            raise ValueError("sweep.sampler: for every point take sweep.sampler.exhaustive=true.")
        if self.n_trials < 1:
            raise ValueError(f"sweep.sampler.n_trials={self.n_trials}; wanted 1 or more.")

    def __str__(self) -> str:
        names = "every point of the grid" if self.exhaustive else type(self.sampler).__name__
        if self.pruner is not None:
            names += f" with {type(self.pruner).__name__}"
        return f"{names}, {self.n_trials} proposals" if not self.exhaustive else names

    def start(self, space: Space, rows: list[TrialRow]) -> tuple[Searching, list[TrialRow]]:
        """Goes on with the study of this folder, or begins one. Raises Refused."""
        return Searching(self, space, rows), [row for row in rows if is_over(row)]


class Searching:
    """A study in progress."""

    def __init__(self, settings: Search, space: Space, rows: list[TrialRow]):
        if not space.axes and not space.ranges:
            message = "nothing to search: give a key several values, or interval(low, high)"
            raise Refused([Fault("sweep", message)])
        self._settings = settings
        self._space = space
        self._rows = {row.id: row for row in rows}
        self._race: Race | None = None
        pruner = settings.pruner
        if isinstance(pruner, SuccessiveHalving):
            import optuna

            self._race = self._begin_race(pruner)
            pruner = optuna.pruners.NopPruner()  # the race decides, not Optuna
        self._study = Study(
            space, sampler=settings.sampler, pruner=pruner, storage=settings.storage
        )
        self._groups: dict[tuple[str, ...], SeedGroup] = {}
        self._group_of: dict[str, SeedGroup] = {}  # by trial id
        self.notes: list[str] = []
        if settings.exhaustive:
            self._study.enqueue_grid(settings.order_seed)
        # Of earlier starts, to be proposed again; those that the race pruned may still go on.
        self._left = self._study.repeat_unfinished(
            self._num_proposals, and_pruned=self._race is not None
        )
        self.total: int | None = self._num_proposals * len(space.seeds)

    @property
    def _num_proposals(self) -> int:
        if not self._settings.exhaustive:
            return self._settings.n_trials
        return math.prod(len(values) for values in self._space.axes.values())

    def next(self) -> Trial | None:
        for group in self._groups.values():
            trial = self._startable(group)
            if trial is not None:
                return trial
        while self._left:  # what was cut off comes before what was paused
            self._left -= 1
            proposed = self._propose()
            if proposed is not None and (trial := self._startable(proposed)) is not None:
                return trial
        if (trial := self._promoted()) is not None:
            return trial
        while self._study.count() < self._num_proposals:
            proposed = self._propose()
            if proposed is not None and (trial := self._startable(proposed)) is not None:
                return trial
        return self._promoted()  # all have been proposed: fewer may be better now

    def is_done(self) -> bool:
        groups = self._groups.values()
        if self._to_come() or not all(group.settled or group.paused for group in groups):
            return False
        if self._best_paused() is not None:
            return False
        paused = [group for group in groups if group.paused]
        for group in paused:  # the race is over, and nobody goes on
            group.first.folder.set_state("pruned", **group.first.folder.spent())
            self.tell(group.first, "pruned")
        return True

    def report(self, trial: Trial, step: int, value: float) -> Order | None:
        group = self._group_of[trial.id]
        single = len(self._space.objective.metrics) == 1
        if self._settings.pruner is None or not single or trial is not group.first:
            return None
        if step > group.reported:
            group.reported = step
            for proposal in group.proposals:
                proposal.report(value, step)
        if self._race is None:
            return "pruned" if group.proposals[0].should_prune() else None
        if not self._race.take(trial.id, step, value):
            return None
        if trial.id not in self._race.good(self._to_come()):
            return "paused"
        self._race.go_on(trial.id)
        return None

    def tell(self, trial: Trial, verdict: Verdict) -> None:
        group = self._group_of[trial.id]
        group.verdicts[trial.id] = verdict
        if self._race is not None and trial is group.first:
            if verdict == "done":
                self._race.finish(trial.id)
            elif verdict != "paused":
                self._race.drop(trial.id)
        self._settle(group)

    def _to_come(self) -> int:
        return max(self._num_proposals - self._study.count(), 0)

    def _promoted(self) -> Trial | None:
        """A paused trial that goes on now."""
        group = self._best_paused()
        if group is None or self._race is None:
            return None
        self._race.go_on(group.first.id)
        del group.verdicts[group.first.id]
        return group.first

    def _best_paused(self) -> SeedGroup | None:
        """What would go on next."""
        if self._race is None:
            return None
        good = self._race.good(self._to_come())
        groups = [self._group_of[key] for key in good if key in self._group_of]
        return next((group for group in groups if group.paused), None)

    def _begin_race(self, pruner: SuccessiveHalving) -> Race:
        """With all that earlier starts have seen, or a few could look better than they are."""
        race = Race(pruner, self._space.objective.modes[0])
        for row in self._rows.values():
            known = row.state not in ("planned", "failed")
            if known and str(row.seed) == self._space.seeds[0]:
                self._replay(race, row.id, row.folder)
                if row.state == "done":
                    race.finish(row.id)
        return race

    def _replay(self, race: Race, key: str, folder: RunFolder) -> None:
        race.enter(key)
        for number, value in validations(folder, self._space.objective.metrics[0]):
            race.take(key, number, value)

    def _startable(self, group: SeedGroup) -> Trial | None:
        return group.take_next(pruning=self._settings.pruner is not None)

    def _propose(self) -> SeedGroup | None:
        """A new proposal; None where it needs no run, or cannot have one."""
        proposal = self._study.ask()
        chosen = self._study.words(proposal)
        try:
            trials = self._space.make(chosen, self._space.seeds, proposal.number)
        except (Refused, RuntimeError) as refused:  # or the check itself died of it
            self._study.fail(proposal)
            words = " ".join(f"{key}={value}" for key, value in chosen.items())
            first = str(refused).strip().splitlines()[0]
            self.notes.append(f"refused  {words}: {first}")
            return None
        key = tuple(trial.id for trial in trials)
        if key in self._groups:
            known = self._groups[key]
            known.proposals.append(proposal)
            if known.settled:
                known.settled = False
                self._settle(known)
            return None
        group = self._groups[key] = SeedGroup([proposal], trials)
        for trial in trials:
            self._group_of[trial.id] = group
            self._place(group, trial)
        if self._race is not None and group.paused:
            self._replay(self._race, group.first.id, group.first.folder)
        elif self._race is not None and group.first.id not in group.verdicts:
            self._race.enter(group.first.id)
        self._settle(group)
        return group

    def _place(self, group: SeedGroup, trial: Trial) -> None:
        """Among those that wait, or those that an earlier driver has ended or paused."""
        row = self._rows.get(trial.id)
        state = None if row is None else row.state
        if self._race is not None and state in ("paused", "pruned") and trial is group.first:
            group.verdicts[trial.id] = "paused"
        elif state is not None and is_over(row):
            group.verdicts[trial.id] = cast(Verdict, state)
        else:
            group.waiting.append(trial)

    def _settle(self, group: SeedGroup) -> None:
        """Reports a group to the study once nothing of it runs or waits."""
        verdicts = set(group.verdicts.values())
        if verdicts & {"pruned", "failed"}:
            group.give_up_waiting()
        if "paused" in verdicts:
            return
        if verdicts & {"stopped", "held"}:
            group.waiting.clear()
            group.settled = True  # the study keeps it as running; the next start takes it up
            return
        if group.settled or len(group.verdicts) < len(group.trials):
            return
        group.settled = True
        for proposal in group.proposals:
            if "failed" in verdicts:
                self._study.fail(proposal)
            elif "pruned" in verdicts:
                self._study.prune(proposal)
            else:
                self._complete(group, proposal)

    def _complete(self, group: SeedGroup, proposal: Proposal) -> None:
        """With the means over the seeds; it fails where one of them is missing."""
        objective, constraints = self._space.objective, self._settings.constraints
        means = {name: group.mean(name) for name in (*objective.metrics, *constraints)}
        known = {name: mean for name, mean in means.items() if mean is not None}
        if missing := [name for name in means if name not in known]:
            self.notes.append(f"{group.first.label} has no {', '.join(missing)}")
            self._study.fail(proposal)
            return
        for name, most in constraints.items():
            proposal.set_constraint(name, known[name] - most)
        self._study.complete(proposal, [known[name] for name in objective.metrics])
