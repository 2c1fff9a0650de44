"""Which way a metric is better, by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

LOWER_IS_BETTER = (
    *("loss", "losses", "logloss", "ece", "error", "errors", "perplexity"),
    *("overconfidence", "seconds", "memory"),
)
SIGNED = ("overconfidence",)
# `loss` of box_loss, box-loss, boxLoss and loss2; recent holds no `ece`.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_lower_better(metric: str) -> bool:
    """Whether the last part of its name has a word of `LOWER_IS_BETTER`."""
    words = WORD.findall(metric.rsplit("/", 1)[-1])
    return any(word.lower() in LOWER_IS_BETTER for word in words)


def mode_of(metric: str) -> Literal["max", "min"] | None:
    """What is better of a metric, `max` or `min`; None where its name says nothing."""
    if best_at_zero(metric):
        return None
    if is_lower_better(metric):
        return "min"
    return "max" if metric.startswith(("val/", "test/")) or "accuracy" in metric else None


def best_at_zero(metric: str) -> bool:
    """Whether it is a signed number that is worse the farther it is from zero, on either side."""
    return metric.rsplit("/", 1)[-1] in SIGNED


def without_direction(metric: str) -> str:
    """What to say where something would be chosen by a metric that is best at zero."""
    message = f"{metric} is best at 0 and worse on both sides: neither max nor min takes the best"
    if not metric.endswith("overconfidence"):
        return message
    return f"{message}. How far off it is without the sign, {metric.rpartition('/')[0]}/ece says"


def wrong_direction(metric: str, mode: str | None, better: Mapping[str, str]) -> str | None:
    """What to say where `mode` would take the worst of a metric; None where it fits.

    `better` holds the metrics whose direction is known.
    """
    right = better.get(metric, mode)
    if mode == right:
        return None
    way = "lower" if right == "min" else "higher"
    return f"is {mode}, which takes the worst: of {metric} {way} is better; wanted {right}"
