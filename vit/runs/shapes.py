"""What each small file of a run must look like: its known keys, and the types of their values.

Keys that are not known are left alone: a later version of the same schema may add some.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1
LARGEST = 1 << 53  # of whole numbers: the last that a float knows exactly
LONGEST_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Kind:
    """A type of values: what it is called, and whether a value is of it."""

    name: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Shape:
    """Types of the known keys, and which of them must be there."""

    known: dict[str, Kind]
    needed: tuple[str, ...] = ()
    version: int = SCHEMA_VERSION


def misfit(plain: dict[str, Any], shape: Shape) -> str | None:
    """What is wrong first, in words; None where all fits."""
    version = plain.get("schema_version", shape.version)
    if version != shape.version or isinstance(version, bool):
        return f"schema_version is {shown(version)}; this vit reads {shape.version}"
    for key in shape.needed:
        if key not in plain:
            return f"has no {key!r}"
    for key, kind in shape.known.items():
        if key in plain and not kind.fits(plain[key]):
            return f"has {key}={shown(plain[key])}; wanted {kind.name}"
    return None


def shown(value: object) -> str:
    """A value in a message, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of 5,000 digits, or nested without end
        text = type(value).__name__
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST


def is_number(value: object) -> bool:
    """Finite, and of a size that dates and durations have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) < LARGEST


def is_metric(value: object) -> bool:
    """A number, also NaN and infinity, which are written as text; or None."""
    if isinstance(value, str):
        return value in ("nan", "inf", "-inf")
    return value is None or isinstance(value, float) or is_whole(value)


def maybe(kind: Kind) -> Kind:
    return Kind(f"{kind.name}, or null", lambda value: value is None or kind.fits(value))


def list_of(kind: Kind) -> Kind:
    name = f"a list, each of it {kind.name}"
    return Kind(name, lambda value: isinstance(value, list) and all(map(kind.fits, value)))


def mapping_of(kind: Kind) -> Kind:
    """From text to values of a kind."""
    return Kind(
        f"a mapping to {kind.name}",
        lambda value: isinstance(value, dict) and all(map(kind.fits, value.values())),
    )


def one_of(*names: str) -> Kind:
    wanted = f"one of {', '.join(names)}"
    return Kind(wanted, lambda value: isinstance(value, str) and value in names)


def shaped(shape: Shape) -> Kind:
    """A mapping within a file."""
    needed = f" with {', '.join(shape.needed)}" if shape.needed else ""
    return Kind(
        f"a mapping{needed}",
        lambda value: isinstance(value, dict) and misfit(value, shape) is None,
    )


TEXT = Kind("text", lambda value: isinstance(value, str))
WHOLE = Kind("a whole number", is_whole)
NUMBER = Kind("a finite number", is_number)
METRIC = Kind("a number", is_metric)
ANY = Kind("a mapping", lambda value: isinstance(value, dict))
SCALAR = Kind("a number or text", lambda value: isinstance(value, str) or is_number(value))

OWNER = Shape({"host": maybe(TEXT), "pid": maybe(WHOLE)})
STATE = Shape(
    {
        "state": one_of(
            *("planned", "running", "done", "failed", "stopped", "preempted", "pruned", "paused")
        ),
        "started": maybe(NUMBER),
        "updated": maybe(NUMBER),
        "train_seconds": maybe(NUMBER),
        "cpu_seconds": maybe(NUMBER),
        "exit_code": maybe(WHOLE),
        "kind": maybe(TEXT),
        "error": maybe(TEXT),
        "log_tail": list_of(TEXT),
        "owner": maybe(shaped(OWNER)),
    },
    needed=("state",),
)
ORDER = Shape({"state": maybe(one_of("pruned", "paused", "stopped"))})
RESULTS = Shape(
    {
        "name": TEXT,
        "metrics": mapping_of(METRIC),
        "final": mapping_of(METRIC),
        "best": maybe(ANY),
        "timing": mapping_of(NUMBER),
        "tables": ANY,
        "steps": maybe(WHOLE),
        "epochs": maybe(WHOLE),
        "unit": TEXT,
    },
    needed=("metrics",),
)
TRIAL = Shape(
    {
        "id": TEXT,
        "group": TEXT,
        "label": TEXT,
        "point": WHOLE,
        "seed": WHOLE,
        "overrides": mapping_of(TEXT),
        "cost": maybe(NUMBER),
        "facts": mapping_of(METRIC),
        "adapted": mapping_of(SCALAR),
        "attempts": list_of(shaped(Shape({"started": NUMBER}, needed=("started",)))),
    },
)
# Of a trial in the ledger of its sweep.
PLANNED_TRIAL = Shape(TRIAL.known, needed=("id", "group", "label", "seed", "overrides"))
OBJECTIVE = Kind(
    "metrics, and a mode (max or min) for each",
    lambda value: (
        isinstance(value, dict)
        and all(isinstance(value.get(key), list) for key in ("metrics", "modes"))
        and len(value["metrics"]) == len(value["modes"]) > 0
        and all(isinstance(name, str) for name in value["metrics"])
        and all(mode in ("max", "min") for mode in value["modes"])
    ),
)
SWEEP = Shape(
    {
        "name": TEXT,
        "command": TEXT,
        "arguments": list_of(TEXT),
        "folder": TEXT,
        "path": TEXT,
        "code": ANY,
        "data": ANY,
        "objective": OBJECTIVE,
        "threads": maybe(WHOLE),
        "space": maybe(ANY),
        "study": TEXT,
        "trials": list_of(TEXT),
        "created": NUMBER,
        "updated": NUMBER,
    },
)
BEGUN_SWEEP = Shape(SWEEP.known, needed=("schema_version", "objective"))
STAMP = Shape(
    {
        "vit": maybe(TEXT),
        "created": maybe(TEXT),
        "command": maybe(TEXT),
        "folder": maybe(TEXT),
        "git": maybe(
            shaped(
                Shape(
                    {
                        "commit": maybe(TEXT),
                        "diff": maybe(TEXT),
                        "untracked": list_of(TEXT),
                    }
                )
            )
        ),
        "python": maybe(TEXT),
        "packages": mapping_of(TEXT),
        "hardware": maybe(
            shaped(Shape({"gpus": maybe(list_of(TEXT)), "cores": maybe(WHOLE), "cpu": maybe(TEXT)}))
        ),
        "data": ANY,
        "facts": mapping_of(METRIC),
        "init": maybe(ANY),
        "extends": maybe(ANY),
    },
)
CLAIM = Shape({"host": maybe(TEXT), "pid": WHOLE, "boot": maybe(TEXT)})
PARTS = ("backbone", "checkpoint", "data", "optim", "schedule", "task", "tracking", "trainer")
CONFIG = Shape(
    {
        "name": TEXT,
        "seed": maybe(WHOLE),
        "threads": maybe(WHOLE),
        "note": maybe(TEXT),
        "tags": maybe(list_of(TEXT)),
        "init": maybe(TEXT),
        "extend": maybe(WHOLE),
        "extend_lr_scale": maybe(NUMBER),
        "allow_targets": maybe(list_of(TEXT)),
        "compile": Kind("true or false", lambda value: value is None or isinstance(value, bool)),
        **dict.fromkeys(PARTS, ANY),
        **{key: maybe(ANY) for key in ("ema", "head", "tuning", "watch", "debug")},
    },
    needed=("schema_version",),
)
