"""What a search chooses from, in Optuna's terms."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from vit.sweeps.roles import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Key → Optuna's distribution; whole numbers in equal steps are more than choices."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    chosen_from: dict[str, BaseDistribution] = {}
    for key, values in space.axes.items():
        steps = _equal_steps(values)
        if steps is None:
            chosen_from[key] = CategoricalDistribution(values)
        else:
            low, high, step = steps
            chosen_from[key] = IntDistribution(low, high, step=step)
    for key, span in space.ranges.items():
        least, most = span.low, span.high
        if span.whole:
            chosen_from[key] = IntDistribution(int(least), int(most), log=span.log)
        else:
            chosen_from[key] = FloatDistribution(float(least), float(most), log=span.log)
    return chosen_from


def points_of(
    axes: dict[str, list[str]], chosen_from: dict[str, BaseDistribution]
) -> list[dict[str, int | str]]:
    """Every point of a grid, with values as the distributions hold them."""
    return [
        {
            key: int(value) if _is_int(chosen_from[key]) else value
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


def _is_int(distribution: BaseDistribution) -> bool:
    return type(distribution).__name__ == "IntDistribution"
