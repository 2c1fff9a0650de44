"""How a run's metrics were counted, where that has changed between versions of vit.

`counted` in metrics.json, stamp.json, sweep.json and checkpoints names the way of each metric (its
name without the split). A metric that is not named there was counted in the way that was the only
one before; numbers of two ways are never compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PICTURES_OWN_SIZE = "at the pictures' own size"
BEFORE = "at the network's size"  # of all metrics that have since got a way: those of pixels


def way(counted: Any, metric: str) -> str | None:
    """How `val/miou` was counted by what a file says; None where it names no way."""
    found = counted.get(metric.rsplit("/", 1)[-1]) if isinstance(counted, Mapping) else None
    return found if isinstance(found, str) else None


def differing(one: Any, other: Any, metrics: Iterable[str]) -> list[str]:
    """The metrics that two runs have counted in different ways."""
    return [metric for metric in metrics if way(one, metric) != way(other, metric)]


def going_on(before: Any, now: Mapping[str, str]) -> dict[str, str]:
    """How the metrics of a run are counted that was begun in the ways of `before`."""
    kept = {name: way(before, name) or BEFORE for name in now}
    return {name: own if kept[name] == own else mixed(kept[name], own) for name, own in now.items()}


def mixed(first: str, then: str) -> str:
    """The word for a run whose metrics were counted in one way and later in another."""
    return first if first.endswith(then) else f"{first}, then {then}"
