"""metrics.jsonl: every record of a run, a line each, on disk as soon as it is known.

Results (`metrics`) and clock (`timing`) are kept apart, since only results can be compared bit
for bit. A run that was cut off and goes on writes some steps again: the last write of a step wins,
key by key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vit.runs.directory import SCHEMA_VERSION
from vit.runs.files import lines_of
from vit.runs.shapes import LARGEST, is_metric
from vit.runs.writing import appending

DECODE = json.JSONDecoder().decode
Metric = float | str | None  # NaN and infinity are text, since JSON has none


@dataclass(slots=True)
class StepRecord:
    """One line of metrics.jsonl: `step` counts optimizer steps, `epoch` from 0."""

    step: int
    epoch: int
    metrics: dict[str, Metric] = field(default_factory=dict)
    timing: dict[str, Metric] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """A metric; NaN where it was not measured."""
        value = self.metrics.get(name)
        return math.nan if value is None else float(value)

    def to_plain(self) -> dict[str, object]:
        return {
            "schema_version": SCHEMA_VERSION,
            "step": self.step,
            "epoch": self.epoch,
            "metrics": {key: plain(value) for key, value in self.metrics.items()},
            "timing": {key: plain(value) for key, value in self.timing.items()},
        }


class Recorder:
    """Appends records to a file; each is on disk when `write` returns."""

    def __init__(self, path: Path):
        self.path = path

    def write(
        self, step: int, epoch: int, metrics: Mapping[str, float], timing: Mapping[str, float]
    ) -> None:
        """`step` counts optimizer steps, `epoch` from 0; NaN and infinity become strings."""
        record = StepRecord(step, epoch, dict(metrics), dict(timing))
        append_lines(self.path, [json.dumps(record.to_plain())])


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Adds whole lines to a file; they are on disk when this returns."""
    with appending(path) as file:
        if file.seek(0, 2) > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # a line was cut off: leave it, start a new one
                file.write(b"\n")
        file.write("".join(f"{line}\n" for line in lines).encode())


def read_records(path: Path) -> list[StepRecord]:
    """The records in order of step, each step once; lines that were cut off are passed over."""
    by_step: dict[int, StepRecord] = {}
    for line in lines_of(path):
        if (record := record_of(line)) is None:
            continue
        kept = by_step.setdefault(record.step, StepRecord(record.step, record.epoch))
        kept.epoch = record.epoch
        kept.metrics.update(record.metrics)
        kept.timing.update(record.timing)
    return [by_step[step] for step in sorted(by_step)]


def record_of(line: bytes) -> StepRecord | None:
    """What a line of metrics.jsonl says; None where it was cut off, or is none of ours."""
    try:
        line_json = DECODE(line.decode())  # not json.loads, which guesses at the encoding of each
        step, epoch = line_json["step"], line_json["epoch"]
        metrics, timing = line_json["metrics"], line_json["timing"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    plain_numbers = type(step) is int and type(epoch) is int and -LARGEST < step < LARGEST
    good = plain_numbers and -LARGEST < epoch < LARGEST
    good = good and type(metrics) is type(timing) is dict
    return StepRecord(step, epoch, _numbers(metrics), _numbers(timing)) if good else None


def _numbers(values: dict[str, Any]) -> dict[str, Metric]:
    """Those that are metrics, which nearly always are all of them, and floats."""
    if set(map(type, values.values())) <= {float}:
        return values
    return {key: value for key, value in values.items() if is_metric(value)}


def plain(value: Metric) -> float | str:
    """The number, or its name where JSON has none for it: `nan`, `inf`, `-inf`."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else str(number)
