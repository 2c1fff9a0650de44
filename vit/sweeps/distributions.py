"""What a search chooses from, in Optuna's terms."""

from __future__ import annotations

import itertools
from typing import Any

from vit.sweeps.roles import Space


def distributions(space: Space) -> dict[str, Any]:
    """Key → Optuna's distribution; whole numbers in equal steps are more than choices."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, Any] = {}
    for key, values in space.axes.items():
        steps = _equal_steps(values)
        if steps is None:
            found[key] = CategoricalDistribution(values)
        else:
            low, high, step = steps
            found[key] = IntDistribution(low, high, step=step)
    for key, told in space.ranges.items():
        if told["whole"]:
            found[key] = IntDistribution(told["low"], told["high"], log=told["log"])
        else:
            ends = float(told["low"]), float(told["high"])
            found[key] = FloatDistribution(*ends, log=told["log"])
    return found


def points_of(axes: dict[str, list[str]], found: dict[str, Any]) -> list[dict[str, Any]]:
    """Every point of a grid, with values as the distributions in `found` hold them."""
    return [
        {
            key: int(value) if _is_int(found[key]) else value
            for key, value in zip(axes, values, strict=True)
        }
        for values in itertools.product(*axes.values())
    ]


def _equal_steps(values: list[str]) -> tuple[int, int, int] | None:
    try:
        whole = [int(value) for value in values]
    except ValueError:
        return None
    gaps = {b - a for a, b in itertools.pairwise(whole)}
    return (whole[0], whole[-1], gaps.pop()) if len(gaps) == 1 and min(gaps) > 0 else None


def _is_int(distribution: Any) -> bool:
    return type(distribution).__name__ == "IntDistribution"
