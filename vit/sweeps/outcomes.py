"""What a trial has reached: its metrics, and the facts and times that it can be judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vit.runs.directory import RunFolder
from vit.runs.record import StepRecord, read_records
from vit.sweeps.roles import FACTS, TIMES, Objective, Trial


def value_of(trial: Trial, name: str) -> float | None:
    """A metric of a finished trial, or a fact that was known before."""
    if name in FACTS:
        return float(trial.report[name])
    results = trial.folder.results()
    if name in TIMES:
        return float(results["timing"][name])
    value = results.get("metrics", {}).get(name)
    return float(value) if isinstance(value, int | float) else None


def finite(metrics: Mapping[str, object], name: str) -> float | None:
    """A metric as a number; None where there is none, or only NaN or infinity, kept as text."""
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def best_validation(folder: RunFolder, objective: Objective) -> StepRecord | None:
    """The best validation record of a trial, finished or not."""
    metric = objective.metrics[0]
    measured = [
        (value, record)
        for record in read_records(folder.metrics_file)
        if (value := finite(record.metrics, metric)) is not None
    ]
    pick = max if objective.modes[0] == "max" else min
    return pick(measured, key=lambda each: each[0], default=(None, None))[1]
