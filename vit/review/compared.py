"""What two runs recorded, side by side: only where it differs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vit.metrics.direction import mode_of
from vit.review.history import Series, read_history
from vit.runs.counted import counted_in, differing
from vit.runs.directory import RunFolder
from vit.runs.record import plain

Number = float | int | str | None  # NaN and infinity by their names, as in metrics.jsonl


class Pair(NamedTuple):
    """A value of both runs, and the second minus the first."""

    first: Number
    second: Number
    difference: Number


@dataclass(frozen=True)
class MetricDifference:
    """A metric of both runs in which best or last differ."""

    metric: str
    mode: str | None
    best: Pair | None  # None where it is not known what better would be, as of a learning rate
    last: Pair


@dataclass(frozen=True)
class RecordDifference:
    """Where the records of two runs differ; all that is equal is left out."""

    epochs: list[int] | None  # of both
    optimizer_steps: list[int] | None
    metrics: list[MetricDifference]
    only_first: list[str]  # metrics that one alone has
    only_second: list[str]
    counted_otherwise: list[str]  # in different ways, so that no row says which is better

    def __bool__(self) -> bool:
        return any(vars(self).values())


def compare_metrics(run_a: Path, run_b: Path) -> RecordDifference:
    """Raises Refused where a record cannot be read."""
    one, other = (read_history(RunFolder(run).metrics_file) for run in (run_a, run_b))
    lengths = [_epochs(one), _epochs(other)]
    steps = [_steps(one), _steps(other)]
    names, others = _metrics(one), _metrics(other)
    ways = counted_in(RunFolder(run_a)), counted_in(RunFolder(run_b))
    otherwise = differing(*ways, [name for name in names if name in others])
    both = [name for name in names if name in others and name not in otherwise]
    rows = [row for name in both if (row := _row(name, one, other))]
    return RecordDifference(
        epochs=lengths if lengths[0] != lengths[1] else None,
        optimizer_steps=steps if steps[0] != steps[1] else None,
        metrics=sorted(rows, key=_reading_order),
        only_first=[name for name in names if name not in others],
        only_second=[name for name in others if name not in names],
        counted_otherwise=otherwise,
    )


def _metrics(history: dict[str, Series]) -> list[str]:
    """The clock's records left out: no two runs take the same time."""
    return [name for name in history if name != "epoch" and not name.startswith("timing/")]


def _row(name: str, one: dict[str, Series], other: dict[str, Series]) -> MetricDifference | None:
    mode = mode_of(name)
    last = _pair(float(one[name].values[-1]), float(other[name].values[-1]))
    best = None if mode is None else _pair(_best(one[name], mode), _best(other[name], mode))
    if last.difference == 0 and (best is None or best.difference == 0):
        return None
    return MetricDifference(name, mode, best, last)


def _best(series: Series, mode: str) -> float:
    finite = series.values[np.isfinite(series.values)]
    if not len(finite):
        return math.nan
    return float(finite.max() if mode == "max" else finite.min())


def _pair(one: float, other: float) -> Pair:
    """Both and their difference; two that are NaN are equal, and so are two infinities."""
    same = one == other or (math.isnan(one) and math.isnan(other))
    return Pair(plain(one), plain(other), 0.0 if same else plain(other - one))


def _epochs(history: dict[str, Series]) -> int:
    return int(history["epoch"].values.max()) + 1 if "epoch" in history else 0


def _steps(history: dict[str, Series]) -> int:
    return max((int(series.steps[-1]) for series in history.values()), default=0)


def _reading_order(row: MetricDifference) -> tuple[bool, bool, str]:
    name = row.metric
    return not name.startswith("val/"), not name.startswith("test/"), name
