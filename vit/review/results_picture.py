"""results.png: the losses and the metric of a run by epoch, and how it did on each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from vit.metrics.headlines import HEADLINES
from vit.pictures.plots import (
    BLUE,
    GREEN,
    MOST_CELLS,
    PALE,
    Curve,
    Mark,
    bars,
    beside,
    curves,
    matrix,
)
from vit.review.mistakes import SCORES
from vit.review.run import inside
from vit.runs.record import StepRecord


def results_picture(
    config: Mapping[str, Any], results: Mapping[str, Any], records: Sequence[StepRecord]
) -> Image.Image:
    """Two or three panels beside one another, from what the run's files hold."""
    pace = steps_per_epoch(results, records)
    unit = "epoch" if pace else "step"
    pace = pace or 1.0
    mark = _mark(config, results, pace)
    last = max((record.step for record in records), default=0) / pace
    panels = [curves("loss", _drawn("loss", records, results, pace), mark, unit, last)]
    if (name := _metric(config, records)) is not None:
        title = HEADLINES.get(name, name)
        panels.append(curves(title, _drawn(name, records, results, pace), mark, unit, last))
    return beside([*panels, *_classes(results)])


def steps_per_epoch(results: Mapping[str, Any], records: Sequence[StepRecord]) -> float | None:
    """From the last epoch that was followed by another, or from what the run ended with."""
    last = max((record.epoch for record in records), default=0)
    whole = [record for record in records if record.epoch < last]
    if whole:
        return whole[-1].step / (whole[-1].epoch + 1) or None
    steps, epochs = results.get("steps"), results.get("epochs")
    return steps / epochs if steps and epochs else None


def _drawn(
    name: str, records: Sequence[StepRecord], results: Mapping[str, Any], pace: float
) -> list[Curve]:
    found = []
    for split, colour in (("train", PALE), ("val", BLUE)):
        key = f"{split}/{name}"
        rows = [record for record in records if math.isfinite(record.number(key))]
        if rows:
            x, y = [row.step / pace for row in rows], [row.number(key) for row in rows]
            found.append(Curve(split, x, y, colour))
    test, step = inside(results, "metrics", f"test/{name}"), inside(results, "best", "step")
    if isinstance(test, int | float) and isinstance(step, int):
        found.append(Curve("test", [step / pace], [test], GREEN, ring=True))
    return found


def _metric(config: Mapping[str, Any], records: Sequence[StepRecord]) -> str | None:
    """What to show beside the loss: what selects the checkpoint, or what people look for first."""
    recorded = {key for record in records for key in record.metrics if key.startswith("val/")}
    monitor = str(inside(config, "checkpoint", "monitor"))
    others = [f"val/{name}" for name in HEADLINES] + sorted(recorded)
    names = [key for key in [monitor, *others] if key in recorded and key != "val/loss"]
    return names[0].removeprefix("val/") if names else None


def _mark(config: Mapping[str, Any], results: Mapping[str, Any], pace: float) -> Mark | None:
    step, epoch = inside(results, "best", "step"), inside(results, "best", "epoch")
    if not isinstance(step, int) or not isinstance(epoch, int):
        return None
    monitor = str(inside(config, "checkpoint", "monitor"))
    value = inside(results, "metrics", monitor)
    reached = f" {value:.4g}" if isinstance(value, int | float) else ""
    return Mark(step / pace, f"selected: epoch {epoch + 1}, {monitor}{reached}")


def _classes(results: Mapping[str, Any]) -> list[Image.Image]:
    """Of images what was taken for what, where that is a table one can read; else bars."""
    tables, metrics = inside(results, "tables") or {}, results["metrics"]
    split = "test" if any(key.startswith("test/") for key in metrics) else "val"
    names = tables.get("classes")
    if not isinstance(names, list) or not names:
        return []
    names = [str(name) for name in names]
    if "images" in tables and "confusion" in tables and len(names) <= MOST_CELLS:
        counts = np.array(tables["confusion"], np.int64)
        if counts.shape == (len(names), len(names)):
            return [matrix(f"{split}: true classes, and what they were taken for", names, counts)]
    key = next((key for key in SCORES if isinstance(tables.get(key), list)), None)
    if key is None or len(tables[key]) != len(names):
        return []
    values = [math.nan if value is None else float(value) for value in tables[key]]
    return [bars(f"{split}: {SCORES[key]} of each class", names, values)]
