"""From the words of a sweep to its trials: composed, checked, timed; none has started."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.check_report import CheckReport, RunReport
from vit.runs.composed import Composed
from vit.runs.environment import hidden, with_names
from vit.runs.stamp import stamp
from vit.sweeps.plan import summarize_faults, trial_of
from vit.sweeps.policy import Policy
from vit.sweeps.roles import Objective, Trial
from vit.sweeps.words import Words, points

MOST_FAULTS = 20  # after which no further point is looked at


@runtime_checkable
class Compose(Protocol):
    """From the words of one trial, `number` in its sweep, to its config. Raises Refused."""

    def __call__(self, words: list[str], number: int) -> Composed: ...


@dataclass
class Request:
    """What a command asks for, before any trial is made; `base` is composed of the fixed words."""

    words: Words
    policy: Policy
    objective: Objective
    base: Composed
    compose: Compose
    argv: list[str]  # the words after `vit train`
    full: bool = False  # check every image, not a sample
    allow_changed: bool = False  # go on although code or data are others than when it was begun


class Planner:
    """Makes the trials of a request; `first` and `devices` say what they have shown."""

    def __init__(self, request: Request):
        self._request = request
        self._compose = request.compose
        self._words = request.words
        self._policy = request.policy
        self._path = request.base.sweep_dir
        self._stamp: dict[str, Any] = {}
        self.devices = 1  # the most that a trial takes
        self.first: RunReport | None = None  # of the first trial

    def planned(self) -> list[Trial]:
        """Every point of the grid, or Refused with the faults of all."""
        exhaustive = getattr(self._policy.sampler, "exhaustive", False)
        if self._words.ranges and exhaustive:
            message = "a range has no points to go through: list the values, or leave out "
            message += "sweep.sampler.exhaustive"
            raise Refused([Fault(key, message) for key in self._words.ranges])
        if self._words.ranges:
            message = "a range to search in: sweep=optuna, asha or random does; or list the values"
            raise Refused([Fault(key, message) for key in self._words.ranges])
        return self.make_trials(points(self._words, self._policy.points), as_composed=True)

    def make_trials(
        self, points: Iterable[dict[str, str]], *, as_composed: bool = False, point: int = 0
    ) -> list[Trial]:
        composed: list[tuple[dict[str, str], Composed]] = []
        faults: list[tuple[str, list[Fault]]] = []
        known: dict[str, Fault] = {}  # finding what is wrong with a word takes seconds
        for varies in points:
            words = [*self._words.fixed, *(f"{key}={value}" for key, value in varies.items())]
            again = [known[key] for word in words for key in (word, _key(word)) if key in known]
            if again:
                faults.append((label_of(varies), again))
                continue
            try:
                composed.append((varies, self._compose(words, len(composed))))
            except Refused as refused:
                faults.append((label_of(varies), refused.faults))
                known.update((fault.where, fault) for fault in refused.faults)
                if len(known) >= MOST_FAULTS:
                    break
        if not composed and not faults:
            raise Refused([Fault("-m", "the sweep has no point")])
        plain = process.call(
            "vit.check.preflight:plain_reports",
            [run.config for _, run in composed],
            str(self._path),
            self._request.full,
        )
        reports = [CheckReport.from_plain(each) for each in plain]
        for (varies, run), report in zip(composed, reports, strict=True):
            lacking = report.lacking if self._policy.executor.here else []
            of_trial = [*report.faults, *lacking]
            if run.config["trainer"].get("num_nodes", 1) > 1:
                message = "a trial of a sweep runs on one machine; wanted 1"
                of_trial.append(Fault("trainer.num_nodes", message))
            faults.append((label_of(varies), of_trial))
        if any(of_trial for _, of_trial in faults):
            raise Refused(summarize_faults(faults))
        self.first = self.first or reports[0].sound
        devices = [run.config["trainer"]["devices"] for _, run in composed]
        self.devices = max(self.devices, *devices)
        command = ["vit", "train", *self._request.argv]
        self._stamp = self._stamp or stamp(command, {}, reports[0].sound.gpus)
        trials = []
        for at, ((varies, run), report) in enumerate(zip(composed, reports, strict=True)):
            trial = trial_of(
                run.config,
                varies,
                report.to_plain(),
                self._path,
                own_run_dir=run.run_dir if as_composed and run.own_folder else None,
                point=at if as_composed else point,
                name=run.own_name,
            )
            sound = report.sound
            data = with_names(sound.data.to_plain(), hidden(run.config))
            trial.stamp = {**self._stamp, "data": data}
            if sound.init is not None:
                trial.stamp["init"] = sound.init
            if sound.metrics.counted is not None:
                trial.stamp["counted"] = sound.metrics.counted
            trials.append(trial)
        return trials

    def corners(self) -> list[Trial]:
        """What stands for a search in the check: every point of a grid that is gone through, else
        each axis at each value, a range at its ends, with the others at their first."""
        if not {*self._words.axes, *self._words.ranges} - {"seed"}:
            message = "nothing to search: give a key several values, or interval(low, high)"
            raise Refused([Fault("sweep", message)])
        if getattr(self._policy.sampler, "exhaustive", False):
            return self.planned()
        axes = dict(self._words.axes)
        for key, span in self._words.ranges.items():
            axes[key] = [str(span.low), str(span.high)]
        first = {key: ends[0] for key, ends in axes.items()}
        corners = [{**first, key: value} for key, values in axes.items() for value in values]
        return self.make_trials({label_of(corner): corner for corner in corners}.values())

    def estimate_seconds(self, trials: list[Trial]) -> None:
        """Adds to each report how long the training will take; a guess is not worth a failure."""
        asked = [(trial.config, trial.report) for trial in trials]
        with suppress(RuntimeError):
            estimates = process.call("vit.check.probe:seconds_of_trainings", asked)
            for trial, seconds in zip(trials, estimates, strict=True):
                trial.report["seconds"] = seconds


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def label_of(varies: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in varies.items())
