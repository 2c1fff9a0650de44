"""Which way a metric is better, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

LOWER_IS_BETTER = ("loss", "ece", "error", "overconfidence", "seconds", "memory", "perplexity")


def mode_of(metric: str) -> Literal["max", "min"] | None:
    """What is better of a metric, `max` or `min`; None where its name says nothing."""
    if metric.endswith("overconfidence"):
        return None  # best at zero, from both sides
    if any(word in metric.rsplit("/", 1)[-1] for word in LOWER_IS_BETTER):
        return "min"
    return "max" if metric.startswith(("val/", "test/")) or "accuracy" in metric else None


def wrong_direction(metric: str, mode: str | None, better: Mapping[str, str]) -> str | None:
    """What to say where `mode` would take the worst of a metric; None where it fits.

    `better` holds the metrics whose direction is known.
    """
    right = better.get(metric, mode)
    if mode == right:
        return None
    way = "lower" if right == "min" else "higher"
    return f"is {mode}, which takes the worst: of {metric} {way} is better; wanted {right}"
