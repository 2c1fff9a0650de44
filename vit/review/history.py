"""metrics.jsonl as columns: one series a metric, whatever became of the run that wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vit.runs.files import lines_of
from vit.runs.record import record_of


@dataclass(frozen=True)
class Series:
    """One metric of one run: optimizer steps, ascending, each once, and the values there."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]  # NaN and infinity as they were recorded

    def __len__(self) -> int:
        return len(self.steps)


def read_history(path: Path) -> dict[str, Series]:
    """Name → series: metrics by their names, the clock's as `timing/…`, and `epoch`, from 0.

    Says the same as `vit.runs.record.read_records`: of a step that was written twice the last
    write of each metric counts; a line that was cut off, or is none of ours, is passed over. No
    file is no series. Raises Refused where the file cannot be read.
    """
    columns: dict[str, dict[int, float]] = {}
    for line in lines_of(path):
        if (record := record_of(line)) is None:
            continue
        step = record.step
        columns.setdefault("epoch", {})[step] = float(record.epoch)
        for name, value in record.metrics.items():
            _put(columns, name, step, value)
        for name, value in record.timing.items():
            _put(columns, f"timing/{name}", step, value)
    return {name: series_of(column) for name, column in columns.items()}


def _put(columns: dict[str, dict[int, float]], name: str, step: int, value: Any) -> None:
    try:
        number = float(value)  # also "nan" and "inf"
    except (ValueError, TypeError, OverflowError):
        return
    columns.setdefault(name, {})[step] = number


def series_of(column: dict[int, float]) -> Series:
    """From step → value, in whatever order they were written."""
    steps = np.fromiter(column.keys(), np.int64, len(column))
    values = np.fromiter(column.values(), np.float64, len(column))
    if len(steps) > 1 and not (np.diff(steps) > 0).all():  # gone on with after a kill
        order = np.argsort(steps)
        steps, values = steps[order], values[order]
    return Series(steps, values)
