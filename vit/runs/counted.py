"""How a run's metrics were counted, where that has changed between versions of vit.

`counted` in metrics.json, stamp.json, sweep.json and checkpoints names the way of each metric (its
name without the split). A metric that is not named there was counted in the way that was the only
one before; numbers of two ways are never compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from vit.runs.directory import RunFolder
from vit.runs.files import read_json

PICTURES_OWN_SIZE = "at the pictures' own size"
BEFORE = "at the network's size"  # of all metrics that have since got a way: those of pixels
TASK, CHANGED = "vit.tasks.segmentation.Segmentation", ("miou", "pixel_accuracy")  # whose they are


def ways(counted: object) -> dict[str, str]:
    """What a file says under `counted`, without what cannot be meant."""
    items = counted.items() if isinstance(counted, Mapping) else ()
    return {str(name): way for name, way in items if isinstance(way, str)}


def counted_in(folder: RunFolder) -> dict[str, str]:
    """Of a run: as its results say, or, of one that is not done, its stamp."""
    recorded = folder.results() if folder.is_done() else read_json(folder.stamp_file) or {}
    return ways(recorded.get("counted"))


def way(counted: Mapping[str, str], metric: str) -> str | None:
    """How `val/miou` was counted; None where nothing is said of it."""
    return counted.get(metric.rsplit("/", 1)[-1])


def is_outdated(config: Mapping[str, Any], counted: Mapping[str, str], metric: str) -> bool:
    """Whether a run's metric was counted as nothing is counted any more, in part at least."""
    task = config.get("task")
    ours = isinstance(task, Mapping) and task.get("_target_") == TASK
    own = way(counted, metric)
    return ours and metric.rsplit("/", 1)[-1] in CHANGED and (own is None or BEFORE in own)


def differing(
    one: Mapping[str, str], other: Mapping[str, str], metrics: Iterable[str]
) -> list[str]:
    """The metrics that two runs have counted in different ways."""
    return [metric for metric in metrics if way(one, metric) != way(other, metric)]


def going_on(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """How the metrics of a run are counted that was begun in the ways of `before`."""
    result = {}
    for name, way in now.items():
        first = before.get(name, BEFORE)
        result[name] = first if first.endswith(way) else f"{first}, then {way}"
    return result


def mark(counted: Mapping[str, str]) -> str:
    """A few letters, the same for the same ways; none where nothing is said."""
    text = json.dumps(dict(counted), sort_keys=True)
    return hashlib.sha1(text.encode()).hexdigest()[:4] if counted else ""
