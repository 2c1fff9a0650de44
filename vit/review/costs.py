"""What a configuration costs, and which ones no other beats at a lower cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vit.review.configurations import Configuration
from vit.review.run import Run, inside
from vit.review.shares import is_on_gpu, processes
from vit.runs.shapes import is_number, is_whole

TRAINING_COST = 3  # forward, and backward through inputs and weights: vit/callbacks/throughput.py


@dataclass(frozen=True)
class Cost:
    """One kind of cost, as an axis of a picture."""

    name: str
    label: str
    lower_is_better: bool = True
    by_the_clock: bool = False  # and so no measure across different shares of machines


# What depends on the model and its training alone comes first, the clock last: it depends on the
# machine, and on what else ran there.
COSTS = (
    Cost("training_gflops", "training, GFLOPs"),
    Cost("gflops_per_image", "forward pass, GFLOPs a sample"),
    Cost("cpu_seconds", "CPU time of the training process, s"),
    Cost("gpu_seconds", "GPU time, s (GPUs × time on the clock)", by_the_clock=True),
    Cost("steps", "optimizer steps"),
    Cost("parameters", "parameters"),
    Cost("peak_memory_mb", "peak memory, MB"),
    Cost(
        "images_per_second",
        "training speed on the clock, samples/s",
        lower_is_better=False,
        by_the_clock=True,
    ),
    Cost("train_seconds", "training time on the clock, s", by_the_clock=True),
)


def run_costs(run: Run) -> dict[str, float]:
    """What is known of one run: seconds without validation, median speed, highest memory."""
    seconds = run.state_json.get("train_seconds")
    costs: dict[str, object] = {
        "training_gflops": _training_gflops(run),
        "gflops_per_image": _fact(run, "gflops_per_image"),
        "cpu_seconds": run.state_json.get("cpu_seconds"),
        "steps": _steps(run),
        "parameters": _fact(run, "parameters"),
        "train_seconds": seconds,
    }
    if is_on_gpu(run) and isinstance(seconds, int | float):
        costs["gpu_seconds"] = seconds * processes(run)
    for name, most in (("images_per_second", np.median), ("peak_memory_mb", np.max)):
        series = run.history.get(f"timing/{name}")
        if series is not None:
            costs[name] = float(most(series.values))
    return {
        name: float(value)
        for name, value in costs.items()
        if isinstance(value, int | float) and math.isfinite(value) and value > 0
    }


def _training_gflops(run: Run) -> float | None:
    """Of the steps that it made; of a plan that was not measured in steps, the plan's."""
    planned, whole = _number(run.trial.get("cost")), _number(_fact(run, "steps"))
    steps = _steps(run)
    if planned is not None:
        return planned * steps / whole if steps and whole else planned
    a_sample = _number(_fact(run, "gflops_per_image"))
    batch = _number(inside(run.config, "data", "batch_size"))
    if a_sample is None or batch is None or not steps:
        return None
    return TRAINING_COST * a_sample * batch * steps


def _steps(run: Run) -> int | None:
    """Optimizer steps that it has made."""
    steps = run.results.get("steps")
    if isinstance(steps, int) and is_whole(steps):
        return steps
    return max((int(series.steps[-1]) for series in run.history.values()), default=None)


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None


def _fact(run: Run, name: str) -> Any:
    """What the check has found of the model: a trial's file has it, of a single run its stamp."""
    fact: Any = inside(run.trial, "facts", name)
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
