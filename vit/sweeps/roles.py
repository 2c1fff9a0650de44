"""What those who propose trials and those who run them offer one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vit.runs.directory import RunFolder
from vit.runs.state import Order
from vit.sweeps.trial import TrialOptions, Verdict
from vit.sweeps.trial_row import TrialRow
from vit.sweeps.words import Range

# What a trial can be judged by besides its validation.
FACTS = ("parameters", "gflops_per_image", "tokens", "steps")
TIMES = ("train_seconds",)


@dataclass
class Trial:
    """One run of a sweep: planned, and perhaps done already."""

    id: str
    group: str  # the same for all seeds of one configuration
    label: str
    run_dir: Path
    config: dict[str, Any]
    varies: dict[str, str]  # the axes' keys with this trial's values
    report: dict[str, Any]  # of the check: parameters, gflops_per_image, steps, …
    point: int = 0  # which proposal of the sampler it belongs to
    stamp: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run_dir)


@dataclass
class Objective:
    """What trials are compared by; the first of several is what the board and tables sort by."""

    metrics: list[str]
    modes: list[str]

    def better(self, value: float, than: float) -> bool:
        return value > than if self.modes[0] == "max" else value < than


@dataclass
class Space:
    """What a search chooses from, and how it gets the trials of what it chose."""

    folder: Path
    name: str
    axes: dict[str, list[str]]
    ranges: dict[str, Range]
    seeds: list[str]
    objective: Objective
    # (chosen values, seeds, number of the proposal) → a trial for each seed; raises Refused.
    make: Callable[[dict[str, str], list[str], int], list[Trial]]


@runtime_checkable
class Sampler(Protocol):
    """Who proposes the trials of a sweep."""

    total: int | None  # trials in all, where it is known
    notes: list[str]  # what is to be said; whoever says it empties the list

    def next(self) -> Trial | None:
        """A trial to start now, or None: there is none, or not before others have finished."""

    def is_done(self) -> bool:
        """Whether no trial will come any more, whatever those that run bring."""

    def report(self, trial: Trial, step: int, value: float) -> Order | None:
        """Takes a running trial's validation, the `step`-th; whether it is to end, and as what."""

    def tell(self, trial: Trial, verdict: Verdict) -> None:
        """Takes the end of a trial that `next` gave."""


@runtime_checkable
class Sampling(Protocol):
    """The settings of a sampler, as `sweep.sampler` has them."""

    searches: bool  # whether it is a `SearchSampling`, which needs no planned trials


@runtime_checkable
class SearchSampling(Protocol):
    """The settings of a sampler that chooses from a space."""

    searches: bool

    def start(self, space: Space, rows: list[TrialRow]) -> tuple[Sampler, list[TrialRow]]:
        """The sampler, and those of the ledger's `rows` that are over.

        Goes on where an earlier start has left off: the same trials must be proposed again.
        Raises Refused.
        """


@runtime_checkable
class Executor(Protocol):
    """Who runs trials, as `sweep.executor` has it."""

    here: bool  # on this machine, which must then have what they need

    def default_jobs(self, config: dict[str, Any], gpus: list[str]) -> int:
        """Trials at once where the user does not say."""

    def open(self, jobs: int, devices: int, gpus: list[str], orders: TrialOptions) -> None:
        """Makes room for `jobs` trials at once, of `devices` processes each."""

    def has_room(self) -> bool: ...

    def submit(self, trial: Trial) -> None: ...

    def finished(self) -> list[tuple[Trial, Verdict]]:
        """The trials that ended since it was asked last."""

    def running(self) -> list[Trial]:
        """The trials that were submitted and have not ended, whether they train or wait."""

    def kill(self) -> None:
        """Ends all of them now; they are stopped already, and had their time to save."""

    def close(self) -> None: ...


@runtime_checkable
class Queueing(Protocol):
    """What an executor offers besides where trials wait in a queue that is not the sweep's own."""

    def standing(self, trial: Trial) -> str:
        """Why a trial does not run yet, such as `pending: Resources`; empty while it does."""
