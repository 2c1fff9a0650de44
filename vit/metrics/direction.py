"""Which way a metric is better, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

LOWER_IS_BETTER = ("loss", "ece", "error", "overconfidence", "seconds", "memory", "perplexity")

SIGNED = ("overconfidence",)


def mode_of(metric: str) -> Literal["max", "min"] | None:
    """What is better of a metric, `max` or `min`; None where its name says nothing."""
    if best_at_zero(metric):
        return None
    if any(word in metric.rsplit("/", 1)[-1] for word in LOWER_IS_BETTER):
        return "min"
    return "max" if metric.startswith(("val/", "test/")) or "accuracy" in metric else None


def best_at_zero(metric: str) -> bool:
    """Whether it is a signed number that is worse the farther it is from zero, on either side."""
    return metric.rsplit("/", 1)[-1] in SIGNED


def without_direction(metric: str) -> str:
    """What to say where something would be chosen by a metric that is best at zero."""
    message = (
        f"{metric} is best at 0 and worse on both sides: neither max nor min would take the best"
    )
    if not metric.endswith("overconfidence"):
        return message
    return f"{message}. How far off it is without the sign, {metric.rpartition('/')[0]}/ece tells"


def wrong_direction(metric: str, mode: str | None, better: Mapping[str, str]) -> str | None:
    """What to say where `mode` would take the worst of a metric; None where it fits.

    `better` holds the metrics whose direction is known.
    """
    right = better.get(metric, mode)
    if mode == right:
        return None
    way = "lower" if right == "min" else "higher"
    return f"is {mode}, which takes the worst: of {metric} {way} is better; wanted {right}"
