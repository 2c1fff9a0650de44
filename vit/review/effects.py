"""How much of the differences between runs each setting explains, and how much the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vit.review.configurations import Configuration, Factor

FEWEST = 6  # configurations below which a bootstrap of them means nothing
MOST_LEVELS = 6
BINS = 4
RESAMPLES = 200


@dataclass(frozen=True)
class Effect:
    """Share of the variance between runs, 0 to 1, with the middle 90 % of a bootstrap."""

    key: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Effects:
    """Each setting alone, the largest first; the rest is interactions of settings.

    `seeds` is the share of what differs between seeds of one configuration; None without any.
    """

    rows: list[Effect]
    seeds: float | None


def effects(
    configurations: Sequence[Configuration],
    factors: Sequence[Factor],
    values: Sequence[Sequence[float]],
) -> Effects | None:
    """`values` are those of each configuration's seeds. None where there are too few.

    The share is ω², η² less what as many levels would explain of noise; a number with many values
    is cut into quarters. Configurations are resampled whole, with their seeds. Source: Hays 1963,
    Statistics for Psychologists, chapter 12.
    """
    if len(configurations) < FEWEST or not factors:
        return None
    owners = np.repeat(np.arange(len(values)), [len(seeds) for seeds in values])
    every = np.concatenate([np.asarray(seeds, np.float64) for seeds in values])
    if not np.var(every):
        return None
    # Seeded, so that one report of the same runs is like another.
    draw = np.random.default_rng(0)
    draws = draw.integers(0, len(values), (RESAMPLES, len(values)))
    rows_of = [np.flatnonzero(owners == owner) for owner in range(len(values))]
    resamples = [np.concatenate([rows_of[owner] for owner in chosen]) for chosen in draws]
    rows = []
    for factor in factors:
        levels = _levels([each.settings.get(factor.key) for each in configurations])[owners]
        shares = [omega_squared(every[chosen], levels[chosen]) for chosen in resamples]
        low, high = np.percentile(shares, [5, 95])
        rows.append(Effect(factor.key, omega_squared(every, levels), float(low), float(high)))
    rows.sort(key=lambda effect: -effect.share)
    several = max(len(seeds) for seeds in values) > 1
    between = _eta_squared(every, owners)
    return Effects(rows, 1 - between if several else None)


def omega_squared(values: NDArray[np.float64], levels: NDArray[np.intp]) -> float:
    """The share of variance that groups explain in the population, at least 0."""
    count, groups = len(values), len(np.unique(levels))
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0 or groups < 2 or count <= groups:
        return 0.0
    between = _eta_squared(values, levels) * total
    noise = (total - between) / (count - groups)
    return max(0.0, (between - (groups - 1) * noise) / (total + noise))


def _eta_squared(values: NDArray[np.float64], levels: NDArray[np.intp]) -> float:
    _, group = np.unique(levels, return_inverse=True)
    counts, sums = np.bincount(group), np.bincount(group, values - values.mean())
    total = float(((values - values.mean()) ** 2).sum())
    return float((sums**2 / counts).sum()) / total if total else 0.0


def _levels(settings: list[object]) -> NDArray[np.intp]:
    numbers = [v for v in settings if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(settings) and len(set(numbers)) > MOST_LEVELS:
        cuts = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
        return np.searchsorted(cuts, numbers, side="right")
    names = {name: at for at, name in enumerate(dict.fromkeys(map(repr, settings)))}
    return np.array([names[repr(value)] for value in settings], np.intp)
