"""Optuna proposes the trials: any of its samplers, any of its pruners, its own storage.

One Optuna trial is one proposal: a group of runs that differ in their seed, where several are
given. The objective is the mean over the group. Only the first seed of each group takes part in
pruning, and the others start once it has come through, so that luck is never compared with other
luck.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.sweeps.ledger import is_over
from vit.sweeps.roles import FACTS, TIMES, Space, Trial
from vit.sweeps.trial import Verdict


@dataclass(kw_only=True)
class Search:
    """The settings.

    Args:
        n_trials: proposals in all, those of earlier starts among them.
        sampler: any of optuna.samplers.
        pruner: any of optuna.pruners, or None.
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
    sampler: Any = None
    pruner: Any = None
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
        self._study = self._open()
        self._groups: dict[tuple[str, ...], Group] = {}
        self._by_trial: dict[str, Group] = {}
        self.notes: list[str] = []
        if settings.exhaustive:
            self._enqueue_grid()
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
        while self._counted() < self._most:
            asked = self._ask()
            if asked is not None and (trial := self._startable(asked)) is not None:
                return trial
        return None

    def is_done(self) -> bool:
        return self._counted() >= self._most and all(group.told for group in self._groups.values())

    def report(self, trial: Trial, step: int, value: float) -> bool:
        group = self._by_trial[trial.id]
        single = len(self._space.objective.metrics) == 1
        if self._settings.pruner is None or not single or trial is not group.trials[0]:
            return False
        for asked in group.asked:
            asked.report(value, step)
        return bool(group.asked[0].should_prune())

    def tell(self, trial: Trial, verdict: Verdict) -> None:
        group = self._by_trial[trial.id]
        group.ended[trial.id] = verdict
        self._settle(group)

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
            if is_over(row):
                group.ended[trial.id] = row["state"]
            else:
                group.waiting.append(trial)
        self._settle(group)
        return group

    def _settle(self, group: Group) -> None:
        """Tells Optuna of a group once nothing of it runs or waits."""
        verdicts = set(group.ended.values())
        if verdicts & {"pruned", "failed"}:
            for trial in group.waiting:
                group.ended[trial.id] = "pruned"
            group.waiting.clear()
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
        where = settings.storage or str(self._space.folder / "study.journal")
        try:
            storage: Any = settings.storage
            if storage is None:
                backend = optuna.storages.journal.JournalFileBackend(where)
                storage = optuna.storages.JournalStorage(backend)
            study = optuna.create_study(
                storage=storage,
                study_name=self._space.name,
                sampler=settings.sampler,
                pruner=settings.pruner or optuna.pruners.NopPruner(),
                directions=["maximize" if m == "max" else "minimize" for m in objective.modes],
                load_if_exists=True,
            )
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
        axes = self._space.axes
        points = list(itertools.product(*axes.values()))
        random.Random(self._settings.order_seed).shuffle(points)
        for values in points:
            point = {
                key: int(value) if _is_int(self._distributions[key]) else value
                for key, value in zip(axes, values, strict=True)
            }
            self._study.enqueue_trial(point, skip_if_exists=True)

    def _take_up(self) -> None:
        """What an earlier driver left running, or failed at, is proposed once more."""
        states = self._optuna.trial.TrialState
        # Optuna lets nobody write to a trial that ended, so the study keeps the list.
        self._taken_up = set(self._study.user_attrs.get("taken_up", []))
        for trial in self._study.get_trials(deepcopy=True):
            if trial.state == states.RUNNING:
                self._study.tell(trial.number, state=states.FAIL)
            elif trial.state != states.FAIL or trial.number in self._taken_up:
                continue
            # One that was enqueued and killed while it was being asked knows its values already.
            params = trial.system_attrs.get("fixed_params") or trial.params
            if set(params) == set(self._distributions):
                self._study.enqueue_trial(params)
            self._taken_up.add(trial.number)
            self._study.set_user_attr("taken_up", sorted(self._taken_up))


def distributions(space: Space) -> dict[str, Any]:
    """Key → Optuna's distribution; whole numbers in equal steps are more than choices."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for key, values in space.axes.items():
        steps = _equal_steps(values)
        if steps is None:
            found[key] = CategoricalDistribution(values)
        else:
            low, high, step = steps
            found[key] = IntDistribution(low, high, step=step)
    for key, told in space.ranges.items():
        if told["whole"]:
            found[key] = IntDistribution(told["low"], told["high"], log=told["log"])
        else:
            ends = float(told["low"]), float(told["high"])
            found[key] = FloatDistribution(*ends, log=told["log"])
    return found


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


def _equal_steps(values: list[str]) -> tuple[int, int, int] | None:
    try:
        whole = [int(value) for value in values]
    except ValueError:
        return None
    gaps = {b - a for a, b in itertools.pairwise(whole)}
    return (whole[0], whole[-1], gaps.pop()) if len(gaps) == 1 and min(gaps) > 0 else None


def _is_int(distribution: Any) -> bool:
    return type(distribution).__name__ == "IntDistribution"
