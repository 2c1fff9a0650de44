"""metrics.jsonl: every record of a run, a line each, on disk as soon as it is known.

Results (`metrics`) and clock (`timing`) are kept apart, since only results can be compared bit
for bit. A run that was cut off and goes on writes some steps again: the last write of a step wins,
key by key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vit.runs.directory import SCHEMA_VERSION
from vit.runs.files import appending, lines_of
from vit.runs.shapes import LARGEST, is_metric

DECODE = json.JSONDecoder().decode


class Recorder:
    """Appends records to a file; each is on disk when `write` returns."""

    def __init__(self, path: Path):
        self.path = path

    def write(
        self, step: int, epoch: int, metrics: Mapping[str, float], timing: Mapping[str, float]
    ) -> None:
        """`step` counts optimizer steps, `epoch` from 0; NaN and infinity become strings."""
        line = json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                "step": step,
                "epoch": epoch,
                "metrics": {key: plain(value) for key, value in metrics.items()},
                "timing": {key: plain(value) for key, value in timing.items()},
            }
        )
        append_lines(self.path, [line])


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Adds whole lines to a file; they are on disk when this returns."""
    with appending(path) as file:
        if file.seek(0, 2) > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # a line was cut off: leave it, start a new one
                file.write(b"\n")
        file.write("".join(f"{line}\n" for line in lines).encode())


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records in order of step, each step once; lines that were cut off are passed over."""
    by_step: dict[int, dict[str, Any]] = {}
    for line in lines_of(path):
        if (record := record_of(line)) is None:
            continue
        kept = by_step.setdefault(record["step"], {**record, "metrics": {}, "timing": {}})
        kept["epoch"] = record["epoch"]
        for part in ("metrics", "timing"):
            kept[part].update((k, v) for k, v in record[part].items() if is_metric(v))
    return [by_step[step] for step in sorted(by_step)]


def record_of(line: bytes) -> dict[str, Any] | None:
    """What a line of metrics.jsonl says; None where it was cut off, or is none of ours."""
    try:
        record = DECODE(line.decode())  # not json.loads, which guesses at the encoding of each
        step, epoch = record["step"], record["epoch"]
        parts = record["metrics"], record["timing"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    plain_numbers = type(step) is int and type(epoch) is int and -LARGEST < step < LARGEST
    good = plain_numbers and -LARGEST < epoch < LARGEST
    return record if good and type(parts[0]) is type(parts[1]) is dict else None


def plain(value: float) -> float | str:
    """The number, or its name where JSON has none for it: `nan`, `inf`, `-inf`."""
    number = float(value)
    return number if math.isfinite(number) else str(number)
