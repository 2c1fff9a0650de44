"""fingerprints.jsonl: what each optimizer step saw and gave; and the first step two runs part at.

A line a step: `step` (optimizer steps done before it, so the first is 0), `epoch`, `world_size`,
`images`, hashes of which `samples` these were and of their `pixels`, the `loss`, and from the
first process `gradient_norm` and every so many steps a hash of the `weights` after the step. Each
further process has its own file, `fingerprints-RANK.jsonl`; hashes of samples and pixels add up
over them modulo 2^64, so the same images shared by another number of processes give the same.

A run that was cut off and goes on writes some steps again: the last write of a step wins.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.files import lines_of
from vit.runs.record import plain
from vit.runs.shapes import WHOLE, Kind, Shape, is_metric, is_whole, misfit

SCHEMA_VERSION = 1
MASK = (1 << 64) - 1
HASHES = ("samples", "pixels", "weights")
MOST_PROCESSES = 1 << 16
PROCESSES = Kind("1 or more", lambda v: is_whole(v) and 1 <= v <= MOST_PROCESSES)
DIGITS = re.compile(r"[0-9a-f]{16}")
HASH = Kind("16 hex digits", lambda v: isinstance(v, str) and DIGITS.fullmatch(v) is not None)
NUMBERED = Kind("a number", lambda v: v is not None and is_metric(v))
LINE = Shape(
    {
        "step": WHOLE,
        "epoch": WHOLE,
        "world_size": PROCESSES,
        "images": WHOLE,
        **dict.fromkeys(HASHES, HASH),
        "loss": NUMBERED,
        "gradient_norm": NUMBERED,
    },
    needed=("step", "epoch", "world_size", "images", "samples", "pixels", "loss"),
)
COMPARED = ("samples", "pixels", "loss", "gradient_norm", "weights")  # the cause first


@dataclass(frozen=True)
class Divergence:
    """The first step that differs, and the first thing in it that does, in both runs."""

    step: int
    epoch: int
    by: str  # one of COMPARED
    values: tuple[str | float, str | float]


def lines_file(run_dir: Path, rank: int) -> Path:
    """Where a process writes its lines."""
    return run_dir / (f"fingerprints-{rank}.jsonl" if rank else "fingerprints.jsonl")


def line_of(
    step: int, epoch: int, world_size: int, images: int, values: Mapping[str, float | int]
) -> str:
    """One step of one process; hashes as 16 hex digits, so that any reader of JSON keeps them."""
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "step": step,
            "epoch": epoch,
            "world_size": world_size,
            "images": images,
            **{
                name: _digits(int(value)) if name in HASHES else plain(value)
                for name, value in values.items()
            },
        }
    )


def read_fingerprints(run_dir: Path) -> dict[int, dict[str, Any]]:
    """Step → its values over all processes.

    A step of which a process's line is missing, as after a kill, has no `samples`, `pixels` and
    `loss`. Raises Refused where the folder holds none.
    """
    first = lines_file(run_dir, 0)
    if not first.is_file():
        raise Refused(
            [
                Fault(
                    str(first), "there is none: train with watch.fingerprints=true to compare steps"
                )
            ]
        )
    steps = _lines(first)
    world_size = max((line["world_size"] for line in steps.values()), default=1)
    others = [_lines(lines_file(run_dir, rank)) for rank in range(1, world_size)]
    return {step: _joined(line, others) for step, line in sorted(steps.items())}


def first_divergence(run_a: Path, run_b: Path, tolerance: float = 0.0) -> Divergence | None:
    """Where two runs part, or None where all steps that both have are equal.

    `tolerance` is the relative difference up to which loss and gradient norm count as equal; with
    one, weights are not compared, since a rounding changes their hash. Raises Refused where a run
    has no fingerprints, or both have no step in common.
    """
    a, b = read_fingerprints(run_a), read_fingerprints(run_b)
    common = sorted(a.keys() & b.keys())
    if not common:
        raise Refused([Fault(str(run_b), f"has no step in common with {run_a}")])
    for step in common:
        for name in COMPARED:
            one, other = a[step].get(name), b[step].get(name)
            if one is None or other is None or (tolerance and name == "weights"):
                continue
            if not _equal(one, other, tolerance):
                return Divergence(step, a[step]["epoch"], name, (one, other))
    return None


def _equal(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):  # hashes, and numbers that are none
        return one == other
    return one == other or math.isclose(one, other, rel_tol=tolerance)


def _lines(path: Path) -> dict[int, dict[str, Any]]:
    """The last line of each step; lines that were cut off are passed over."""
    lines = [line for text in lines_of(path) if (line := _line(text)) is not None]
    return {line["step"]: line for line in lines}


def is_line(text: bytes) -> bool:
    """Whether a line of such a file was written as `line_of` does."""
    return _line(text) is not None


def _line(text: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and misfit(line, LINE) is None else None


def _joined(first: dict[str, Any], others: list[dict[int, dict[str, Any]]]) -> dict[str, Any]:
    if first["world_size"] == 1:
        return first
    lines = [first]
    for rank in range(1, first["world_size"]):
        line = others[rank - 1].get(first["step"])
        if line is None or line["world_size"] != first["world_size"]:
            return {k: v for k, v in first.items() if k not in ("samples", "pixels", "loss")}
        lines.append(line)
    losses = [float(line["loss"]) for line in lines]
    sums = {name: sum(int(line[name], 16) for line in lines) for name in ("samples", "pixels")}
    return {
        **first,
        "images": sum(line["images"] for line in lines),
        **{name: _digits(total) for name, total in sums.items()},
        "loss": plain(sum(losses) / len(losses)),
    }


def _digits(number: int) -> str:
    return f"{number & MASK:016x}"
