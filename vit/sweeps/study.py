"""Optuna's study of a sweep: opened or gone on with, asked for proposals, given the outcomes.

The study is the memory of the sampler. It may outlive many drivers, and several sweeps may share
its storage.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.faults import Fault, Refused
from vit.runs.writing import drop_cut_line
from vit.sweeps.distributions import distributions, points_of
from vit.sweeps.roles import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial, Trial


class Study:
    """Of one space. Raises Refused where the storage cannot be used, or holds another study."""

    def __init__(
        self,
        space: Space,
        *,
        sampler: BaseSampler | None,
        pruner: BasePruner | None,
        storage: str | None,
    ):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._states = optuna.trial.TrialState
        self._space = space
        self._distributions = distributions(space)
        where = storage or str(space.folder / "study.journal")
        self._study = self._open(where, sampler, pruner, storage)
        self._require_objective(where)
        # Optuna lets nobody write to a trial that ended, so the study keeps the list.
        self._repeated: set[int] = set(self._study.user_attrs.get("taken_up", []))

    @property
    def trials(self) -> list[FrozenTrial]:
        """All proposals, those of earlier drivers among them."""
        return self._study.trials

    def ask(self) -> Trial:
        """The next proposal."""
        try:
            return self._study.ask(self._distributions)
        except ValueError as error:
            message = f"the study knows another space: {error}"
            raise Refused([Fault("sweep.sampler.storage", message)]) from error

    def words(self, proposal: Trial) -> dict[str, str]:
        """Key → the chosen value, as a command line has it."""
        return {key: str(proposal.params[key]) for key in self._distributions}

    def complete(self, proposal: Trial, values: list[float]) -> None:
        self._study.tell(proposal.number, values, skip_if_finished=True)

    def fail(self, proposal: Trial) -> None:
        self._study.tell(proposal.number, state=self._states.FAIL, skip_if_finished=True)

    def prune(self, proposal: Trial) -> None:
        self._study.tell(proposal.number, state=self._states.PRUNED, skip_if_finished=True)

    def count(self) -> int:
        """Proposals made, without those that a later one repeats after a failure."""
        return sum(
            trial.state != self._states.WAITING and trial.number not in self._repeated
            for trial in self._study.get_trials(deepcopy=False)
        )

    def enqueue_grid(self, order_seed: int) -> None:
        """Every point of the grid, in an order drawn with `order_seed`."""
        if self._space.ranges:
            keys = ", ".join(self._space.ranges)
            raise Refused([Fault(keys, "a range has no points for sweep.sampler.exhaustive")])
        points = points_of(self._space.axes, self._distributions)
        random.Random(order_seed).shuffle(points)
        for point in points:
            self._study.enqueue_trial(point, skip_if_exists=True)

    def repeat_unfinished(self, most: int, *, and_pruned: bool) -> int:
        """Enqueues what an earlier driver left running, or failed at; returns how many.

        With `and_pruned` also what was pruned, unless nothing else is to come of `most` proposals:
        beside others it may be good enough to go on.
        """
        left = [t for t in self._study.get_trials(deepcopy=True) if self._is_unfinished(t)]
        if and_pruned and (left or self.count() < most):
            left += [
                trial
                for trial in self._study.get_trials(deepcopy=True)
                if trial.state == self._states.PRUNED and trial.number not in self._repeated
            ]
        enqueued = 0
        for trial in left:
            if trial.state == self._states.RUNNING:
                self._study.tell(trial.number, state=self._states.FAIL)
            # One that was enqueued and killed while it was being asked knows its values already.
            params = trial.system_attrs.get("fixed_params") or trial.params
            if set(params) == set(self._distributions):
                self._study.enqueue_trial(params)
                enqueued += 1
            self._repeated.add(trial.number)
            self._study.set_user_attr("taken_up", sorted(self._repeated))
        return enqueued

    def _is_unfinished(self, trial: FrozenTrial) -> bool:
        failed = trial.state == self._states.FAIL and trial.number not in self._repeated
        return failed or trial.state == self._states.RUNNING

    def _open(
        self,
        where: str,
        sampler: BaseSampler | None,
        pruner: BasePruner | None,
        storage: str | None,
    ) -> OptunaStudy:
        optuna = self._optuna
        modes = self._space.objective.modes
        try:
            kept: Any = storage
            if kept is None:
                drop_cut_line(Path(where))
                backend = optuna.storages.journal.JournalFileBackend(where)
                kept = optuna.storages.JournalStorage(backend)
            study = optuna.create_study(
                storage=kept,
                study_name=self._space.name,
                sampler=sampler,
                pruner=pruner,
                directions=["maximize" if mode == "max" else "minimize" for mode in modes],
                load_if_exists=True,
            )
        except Refused:
            raise
        except Exception as error:  # each kind of storage has exceptions of its own
            message = f"{where}: {type(error).__name__}: {error}"
            raise Refused([Fault("sweep.sampler.storage", message.splitlines()[0])]) from error
        if study.get_trials(deepcopy=False):
            study.sampler.reseed_rng()  # else a seeded one would propose the first points again
        return study

    def _require_objective(self, where: str) -> None:
        modes = self._space.objective.modes
        known = ["max" if d.name == "MAXIMIZE" else "min" for d in self._study.directions]
        if known != modes:
            message = f"the study in {where} goes for {known}, this sweep for {modes}"
            raise Refused([Fault("sweep.mode", message)])
