"""Single runs in the report: what each reached, which ended badly, how they were started."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from vit.review.configurations import run_value, so_far
from vit.review.costs import run_costs
from vit.review.run import Run, inside
from vit.runs.remarks import note_of, tags_of

ENDED_BADLY = ("failed", "cut off", "stopped", "preempted", "pruned")
LONGEST_LINE = 2_000  # characters of a log line on the page
WHY = {
    "cut off": "its process is gone; the same command goes on with it",
    "stopped": "stopped by hand; the same command goes on with it",
    "preempted": "ended by a signal, as a queue sends it; the same command goes on with it",
    "pruned": "the sweep gave it up: others were better at that point",
}


@dataclass(frozen=True)
class RunRow:
    """One run, whatever became of it."""

    name: str
    folder: str
    configuration: int  # its place in the board
    seed: int
    state: str
    value: float | None  # of the board's metric
    so_far: float | None  # the best of a run that is not done
    epochs: int | None
    metrics: dict[str, float | int]
    costs: dict[str, float]
    note: str | None  # why it was run, in its user's words
    tags: list[str]


@dataclass(frozen=True)
class Failure:
    """A run that ended badly."""

    name: str
    folder: str
    seed: int
    state: str
    kind: str | None
    why: str
    last_step: int | None
    attempts: int
    log_tail: list[str]


@dataclass(frozen=True)
class Start:
    """One way in which runs were started: a sweep's trials share a command."""

    command: str | None
    folder: str | None
    commit: str | None
    changed: bool  # there were uncommitted changes
    vit: str | None
    python: str | None
    packages: dict[str, object]
    cpu: str | None
    gpus: list[object]
    data: str | None  # fingerprint
    runs: int  # how many
    first: str  # folder of the first of them


def run_row(run: Run, numbers: dict[str, int], metric: str, mode: str) -> RunRow:
    """`numbers`: a configuration's place by its id."""
    return RunRow(
        name=run.name,
        folder=str(run.path),
        configuration=numbers[run.group],
        seed=run.seed,
        state=run.state,
        value=run_value(run, metric),
        so_far=so_far(run, metric, mode),
        epochs=run.results.get("epochs"),
        metrics={
            name: value
            for name, value in run.metrics.items()
            if isinstance(value, int | float) and math.isfinite(value)
        },
        costs=run_costs(run),
        note=note_of(run.config),
        tags=tags_of(run.config),
    )


def failure(run: Run) -> Failure:
    kind, error = run.state_json.get("kind"), run.state_json.get("error")
    attempts = inside(run.trial, "attempts")
    return Failure(
        name=run.name,
        folder=str(run.path),
        seed=run.seed,
        state=run.state,
        kind=_text(kind),
        why=str(error) if error else WHY.get(run.state, ""),
        last_step=max((int(series.steps[-1]) for series in run.history.values()), default=None),
        attempts=len(attempts) if isinstance(attempts, list) else 0,
        log_tail=[line[:LONGEST_LINE] for line in run.log_tail],
    )


def starts(runs: list[Run]) -> list[Start]:
    """Each way once, in the order of their first runs."""
    ways: dict[str, Start] = {}
    for run in runs:
        start = _start(run)
        way = repr(replace(start, first=""))
        before = ways.get(way)
        ways[way] = start if before is None else replace(before, runs=before.runs + 1)
    return list(ways.values())


def _start(run: Run) -> Start:
    stamp = run.stamp
    git = inside(stamp, "git")
    packages, gpus = inside(stamp, "packages"), inside(stamp, "hardware", "gpus")
    return Start(
        command=_text(inside(stamp, "command")),
        folder=_text(inside(stamp, "folder")),
        commit=_text(inside(git, "commit")),
        changed=bool(inside(git, "diff")),
        vit=_text(inside(stamp, "vit")),
        python=_text(inside(stamp, "python")),
        packages=packages if isinstance(packages, dict) else {},
        cpu=_text(inside(stamp, "hardware", "cpu")),
        gpus=gpus if isinstance(gpus, list) else [],
        data=_text(inside(stamp, "data", "fingerprint")),
        runs=1,
        first=str(run.path),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
