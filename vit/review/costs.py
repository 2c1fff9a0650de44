"""What a configuration costs, and which ones no other beats at a lower cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vit.review.configurations import Configuration
from vit.review.run import Run, inside


@dataclass(frozen=True)
class Cost:
    """One kind of cost, as an axis of a picture."""

    name: str
    label: str
    lower_is_better: bool = True


COSTS = (
    Cost("train_seconds", "training time, s"),
    Cost("images_per_second", "training speed, samples/s", lower_is_better=False),
    Cost("peak_memory_mb", "peak memory, MB"),
    Cost("training_gflops", "training, GFLOPs"),
    Cost("gflops_per_image", "forward pass, GFLOPs a sample"),
    Cost("parameters", "parameters"),
)


def run_costs(run: Run) -> dict[str, float]:
    """What is known of one run: seconds without validation, median speed, highest memory."""
    costs: dict[str, object] = {
        "train_seconds": run.state_json.get("train_seconds"),
        "training_gflops": run.trial.get("cost"),
        "gflops_per_image": _fact(run, "gflops_per_image"),
        "parameters": _fact(run, "parameters"),
    }
    for name, most in (("images_per_second", np.median), ("peak_memory_mb", np.max)):
        series = run.history.get(f"timing/{name}")
        if series is not None:
            costs[name] = float(most(series.values))
    return {
        name: float(value)
        for name, value in costs.items()
        if isinstance(value, int | float) and math.isfinite(value) and value > 0
    }


def _fact(run: Run, name: str) -> object:
    """What the check has found of the model: a trial's file has it, of a single run its stamp."""
    fact: object = inside(run.trial, "facts", name)
    return inside(run.stamp, "facts", name) if fact is None else fact


def mean_costs(configuration: Configuration) -> dict[str, float]:
    """Means over its finished runs."""
    each = [run_costs(run) for run in configuration.runs if run.state == "done"]
    return {
        cost.name: float(np.mean([costs[cost.name] for costs in each if cost.name in costs]))
        for cost in COSTS
        if any(cost.name in costs for costs in each)
    }


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names whose (cost, loss) no other point beats: both lower is better.

    A point is dominated by one that is no worse in both and better in one; equal points stand
    together. In order of cost.
    """
    front: list[str] = []
    best = math.inf
    ordered = sorted(points, key=lambda name: points[name])
    for name in ordered:
        cost, loss = points[name]
        equals_last = bool(front) and points[front[-1]] == (cost, loss)
        if loss < best or equals_last:
            front.append(name)
            best = loss
    return front
