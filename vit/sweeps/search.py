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
import random
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.state import Order
from vit.runs.writing import drop_cut_line
from vit.slots import Takes
from vit.sweeps.distributions import distributions, points_of
from vit.sweeps.follow import validations
from vit.sweeps.halving import Race, SuccessiveHalving
from vit.sweeps.ledger import is_over
from vit.sweeps.roles import FACTS, TIMES, Space, Trial
from vit.sweeps.trial import Verdict


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

    def start(self, space: Space, rows: list[dict[str, Any]]) -> tuple[Searching, list[Any]]:
        """Goes on with the study of this folder, or begins one. Raises Refused."""
        over = [row for row in rows if is_over(row)]
        return Searching(self, space, {row["id"]: row for row in rows}), over


@dataclass
class Group:
    """One proposal: its runs, one for each seed."""

    asked: list[Any]  # Optuna's trials; several, where it proposed the same again
    trials: list[Trial]
    waiting: deque[Trial]
    ended: dict[str, Verdict] = field(default_factory=dict)
    told: bool = False
    reported: int = 0  # validations that Optuna knows

    @property
    def first(self) -> Trial:
        return self.trials[0]

    @property
    def paused(self) -> bool:
        return self.ended.get(self.first.id) == "paused"


class Searching:
    """A study in progress."""

    def __init__(self, settings: Search, space: Space, rows: dict[str, dict[str, Any]]):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if not space.axes and not space.ranges:
            message = "nothing to search: give a key several values, or interval(low, high)"
            raise Refused([Fault("sweep", message)])
        self._settings = settings
        self._space = space
        self._rows = rows
        self._optuna = optuna
        self._distributions = distributions(space)
        self._race: Race | None = None
        if isinstance(settings.pruner, SuccessiveHalving):
            self._race = self._begin_race(settings.pruner)
        self._study = self._open()
        self._groups: dict[tuple[str, ...], Group] = {}
        self._by_trial: dict[str, Group] = {}
        self.notes: list[str] = []
        if settings.exhaustive:
            self._enqueue_grid()
        self._left = 0  # proposals of earlier starts, to be made again
        self._take_up()
        self.total: int | None = self._most * len(space.seeds)

    @property
    def _most(self) -> int:
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
            asked = self._ask()
            if asked is not None and (trial := self._startable(asked)) is not None:
                return trial
        if (trial := self._promoted()) is not None:
            return trial
        while self._counted() < self._most:
            asked = self._ask()
            if asked is not None and (trial := self._startable(asked)) is not None:
                return trial
        return self._promoted()  # all have been asked for: fewer may be better now

    def is_done(self) -> bool:
        groups = self._groups.values()
        if self._counted() < self._most or not all(group.told or group.paused for group in groups):
            return False
        if self._best_paused() is not None:
            return False
        paused = [group for group in groups if group.paused]
        for group in paused:  # the race is over, and nobody goes on
            group.first.folder.set_state("pruned", **group.first.folder.spent())
            self.tell(group.first, "pruned")
        return True

    def report(self, trial: Trial, step: int, value: float) -> Order | None:
        group = self._by_trial[trial.id]
        single = len(self._space.objective.metrics) == 1
        if self._settings.pruner is None or not single or trial is not group.first:
            return None
        if step > group.reported:
            group.reported = step
            for asked in group.asked:
                asked.report(value, step)
        if self._race is None:
            return "pruned" if group.asked[0].should_prune() else None
        if not self._race.take(trial.id, step, value):
            return None
        if trial.id not in self._race.good(self._to_come()):
            return "paused"
        self._race.go_on(trial.id)
        return None

    def tell(self, trial: Trial, verdict: Verdict) -> None:
        group = self._by_trial[trial.id]
        group.ended[trial.id] = verdict
        if self._race is not None and trial is group.first:
            if verdict == "done":
                self._race.finish(trial.id)
            elif verdict != "paused":
                self._race.drop(trial.id)
        self._settle(group)

    def _to_come(self) -> int:
        return max(self._most - self._counted(), 0)

    def _promoted(self) -> Trial | None:
        """A paused trial that goes on now."""
        group = self._best_paused()
        if group is None or self._race is None:
            return None
        self._race.go_on(group.first.id)
        del group.ended[group.first.id]
        return group.first

    def _best_paused(self) -> Group | None:
        """What would go on next."""
        if self._race is None:
            return None
        good = self._race.good(self._to_come())
        groups = [self._by_trial[key] for key in good if key in self._by_trial]
        return next((group for group in groups if group.paused), None)

    def _begin_race(self, pruner: SuccessiveHalving) -> Race:
        """With all that earlier starts have seen, or a few could look better than they are."""
        race = Race(pruner, self._space.objective.modes[0])
        for row in self._rows.values():
            known = row["state"] not in ("planned", "failed")
            if known and str(row["seed"]) == self._space.seeds[0]:
                self._replay(race, row["id"], RunFolder(Path(row["run_dir"])))
                if row["state"] == "done":
                    race.finish(row["id"])
        return race

    def _replay(self, race: Race, key: str, folder: RunFolder) -> None:
        race.enter(key)
        for told in validations(folder, self._space.objective.metrics[0]):
            race.take(key, *told)

    def _startable(self, group: Group) -> Trial | None:
        if not group.waiting:
            return None
        first = group.trials[0].id
        racing = self._settings.pruner is not None and len(group.trials) > 1
        if racing and group.waiting[0].id != first and group.ended.get(first) != "done":
            return None
        return group.waiting.popleft()

    def _ask(self) -> Group | None:
        """A new proposal; None where it needs no run, or cannot have one."""
        try:
            asked = self._study.ask(self._distributions)
        except ValueError as error:
            message = f"the study knows another space: {error}"
            raise Refused([Fault("sweep.sampler.storage", message)]) from error
        chosen = {key: str(asked.params[key]) for key in self._distributions}
        try:
            trials = self._space.make(chosen, self._space.seeds, asked.number)
        except (Refused, RuntimeError) as refused:  # or the check itself died of it
            self._study.tell(asked.number, state=self._optuna.trial.TrialState.FAIL)
            words = " ".join(f"{key}={value}" for key, value in chosen.items())
            first = str(refused).strip().splitlines()[0]
            self.notes.append(f"refused  {words}: {first}")
            return None
        key = tuple(trial.id for trial in trials)
        if key in self._groups and self._groups[key].asked:
            known = self._groups[key]
            known.asked.append(asked)
            if known.told:
                known.told = False
                self._settle(known)
            return None
        group = Group([asked], trials, deque())
        self._groups[key] = group
        for trial in trials:
            self._by_trial[trial.id] = group
            row = self._rows.get(trial.id, {})
            resting = self._race is not None and row.get("state") in ("paused", "pruned")
            if resting and trial is group.first:
                group.ended[trial.id] = "paused"
            elif is_over(row):
                group.ended[trial.id] = row["state"]
            else:
                group.waiting.append(trial)
        if self._race is not None and group.paused:
            self._replay(self._race, group.first.id, group.first.folder)
        elif self._race is not None and group.first.id not in group.ended:
            self._race.enter(group.first.id)
        self._settle(group)
        return group

    def _settle(self, group: Group) -> None:
        """Tells Optuna of a group once nothing of it runs or waits."""
        verdicts = set(group.ended.values())
        if verdicts & {"pruned", "failed"}:
            for trial in group.waiting:
                group.ended[trial.id] = "pruned"
            group.waiting.clear()
        if "paused" in verdicts:
            return
        if verdicts & {"stopped", "held"}:
            group.waiting.clear()
            group.told = True  # the study keeps it as running; the next start takes it up
            return
        if group.told or len(group.ended) < len(group.trials):
            return
        group.told = True
        states = self._optuna.trial.TrialState
        for asked in group.asked:
            if "failed" in verdicts:
                self._study.tell(asked.number, state=states.FAIL, skip_if_finished=True)
            elif "pruned" in verdicts:
                self._study.tell(asked.number, state=states.PRUNED, skip_if_finished=True)
            else:
                self._tell_values(group, asked)

    def _tell_values(self, group: Group, asked: Any) -> None:
        names = [*self._space.objective.metrics, *self._settings.constraints]
        found = {name: self._mean(group, name) for name in names}
        missing = [name for name, value in found.items() if value is None or math.isnan(value)]
        if missing:
            self.notes.append(f"{group.trials[0].label} has no {', '.join(missing)}")
            state = self._optuna.trial.TrialState.FAIL
            self._study.tell(asked.number, state=state, skip_if_finished=True)
            return
        for name, most in self._settings.constraints.items():
            asked.set_constraint(name, float(found[name] or 0.0) - most)
        values = [float(found[name] or 0.0) for name in self._space.objective.metrics]
        self._study.tell(asked.number, values, skip_if_finished=True)

    def _mean(self, group: Group, name: str) -> float | None:
        values = [value_of(trial, name) for trial in group.trials]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    def _counted(self) -> int:
        """Proposals made, without those that a later one repeats after a failure."""
        waiting = self._optuna.trial.TrialState.WAITING
        return sum(
            trial.state != waiting and trial.number not in self._taken_up
            for trial in self._study.get_trials(deepcopy=False)
        )

    def _open(self) -> Any:
        optuna = self._optuna
        settings, objective = self._settings, self._space.objective
        pruner = optuna.pruners.NopPruner() if self._race else settings.pruner
        where = settings.storage or str(self._space.folder / "study.journal")
        try:
            storage: Any = settings.storage
            if storage is None:
                drop_cut_line(Path(where))
                backend = optuna.storages.journal.JournalFileBackend(where)
                storage = optuna.storages.JournalStorage(backend)
            study = optuna.create_study(
                storage=storage,
                study_name=self._space.name,
                sampler=settings.sampler,
                pruner=pruner,
                directions=["maximize" if m == "max" else "minimize" for m in objective.modes],
                load_if_exists=True,
            )
        except Refused:
            raise
        except Exception as error:  # each kind of storage has exceptions of its own
            message = f"{where}: {type(error).__name__}: {error}"
            raise Refused([Fault("sweep.sampler.storage", message.splitlines()[0])]) from error
        if study.get_trials(deepcopy=False):
            study.sampler.reseed_rng()  # else a seeded one would propose the first points again
        known = ["max" if d.name == "MAXIMIZE" else "min" for d in study.directions]
        if known != objective.modes:
            message = f"the study in {where} goes for {known}, this sweep for {objective.modes}"
            raise Refused([Fault("sweep.mode", message)])
        return study

    def _enqueue_grid(self) -> None:
        if self._space.ranges:
            keys = ", ".join(self._space.ranges)
            raise Refused([Fault(keys, "a range has no points for sweep.sampler.exhaustive")])
        points = points_of(self._space.axes, self._distributions)
        random.Random(self._settings.order_seed).shuffle(points)
        for point in points:
            self._study.enqueue_trial(point, skip_if_exists=True)

    def _take_up(self) -> None:
        """What an earlier driver left running, or failed at, is proposed once more."""
        states = self._optuna.trial.TrialState
        # Optuna lets nobody write to a trial that ended, so the study keeps the list.
        self._taken_up = set(self._study.user_attrs.get("taken_up", []))
        left = [trial for trial in self._study.get_trials(deepcopy=True) if self._is_left(trial)]
        if self._race is not None and (left or self._counted() < self._most):
            # With others to come, those that were pruned may be good enough to go on.
            left += [
                trial
                for trial in self._study.get_trials(deepcopy=True)
                if trial.state == states.PRUNED and trial.number not in self._taken_up
            ]
        for trial in left:
            if trial.state == states.RUNNING:
                self._study.tell(trial.number, state=states.FAIL)
            # One that was enqueued and killed while it was being asked knows its values already.
            params = trial.system_attrs.get("fixed_params") or trial.params
            if set(params) == set(self._distributions):
                self._study.enqueue_trial(params)
                self._left += 1
            self._taken_up.add(trial.number)
            self._study.set_user_attr("taken_up", sorted(self._taken_up))

    def _is_left(self, trial: Any) -> bool:
        """Whether an earlier driver left this proposal running, or failed at it."""
        states = self._optuna.trial.TrialState
        failed = trial.state == states.FAIL and trial.number not in self._taken_up
        return failed or trial.state == states.RUNNING


def value_of(trial: Trial, name: str) -> float | None:
    """A metric of a finished trial, or a fact that was known before."""
    if name in FACTS:
        return float(trial.report[name])
    folder = RunFolder(trial.run_dir)
    results = folder.results()
    if name in TIMES:
        return float(results["timing"][name])
    value = results.get("metrics", {}).get(name)
    return float(value) if isinstance(value, int | float) else None
