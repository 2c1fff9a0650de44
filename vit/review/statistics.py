"""What a few seeds can show: intervals, paired differences, and how many seeds a gap needs.

All tests are two-sided at 5 %. A seed is a draw of everything that is random in a run; runs of two
configurations with the same seed share data order and initial draws, so they are compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vit.sweeps.seeds import quantile

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Difference:
    """Mean of one configuration minus that of another.

    `half` is half the width of its 95 % interval and `p` that of no difference; both are None
    where seeds are too few, or where differences do not vary at all, so that their spread is not
    known. `spread` is the standard deviation of the difference from seed to seed, `n` the seeds.
    """

    value: float
    half: float | None
    p: float | None
    n: int
    spread: float | None
    how: Literal["paired", "unpaired"]


def difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """a minus b, both seed → value: the paired t test on two or more common seeds, else Welch's."""
    common = sorted(a.keys() & b.keys())
    if len(common) >= 2 or (len(common) == 1 and min(len(a), len(b)) < 2):
        return _paired([a[seed] - b[seed] for seed in common])
    return _unpaired(list(a.values()), list(b.values()))


def _paired(differences: list[float]) -> Difference:
    n, mean = len(differences), float(np.mean(differences))
    if n < 2:
        return Difference(mean, None, None, n, None, "paired")
    spread = float(np.std(differences, ddof=1))
    half = quantile(n - 1) * spread / math.sqrt(n)
    # What rounding leaves of equal differences is no spread.
    if spread <= 1e-12 * max(map(abs, differences)):
        return Difference(mean, 0.0 if mean == 0 else None, None, n, 0.0, "paired")
    p = _two_sided(mean / (spread / math.sqrt(n)), n - 1)
    return Difference(mean, half, p, n, spread, "paired")


def _unpaired(a: list[float], b: list[float]) -> Difference:
    """Welch's t test: the variances may differ."""
    gap, n = float(np.mean(a) - np.mean(b)), min(len(a), len(b))
    if n < 2:
        return Difference(gap, None, None, n, None, "unpaired")
    of_a, of_b = float(np.var(a, ddof=1)) / len(a), float(np.var(b, ddof=1)) / len(b)
    error = math.sqrt(of_a + of_b)
    if error <= 1e-12 * max(map(abs, [*a, *b])):
        return Difference(gap, 0.0 if gap == 0 else None, None, n, 0.0, "unpaired")
    degrees = error**4 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    spread = math.sqrt(of_a * len(a) + of_b * len(b))
    half = quantile(degrees) * error
    return Difference(gap, half, _two_sided(gap / error, degrees), n, spread, "unpaired")


def seeds_needed(gap: float, spread: float) -> int | None:
    """Seeds with which a paired t test would see a true gap of this size four times in five.

    None where not even a thousand would do. Source: the noncentral t distribution, as in
    Cohen 1988, chapter 2, and G*Power.
    """
    if spread <= 0:
        return 2
    from scipy.special import nctdtr

    size = abs(gap) / spread

    def power(n: int) -> float:
        beyond = quantile(n - 1)
        shift = size * math.sqrt(n)
        # Seen the wrong way round: below 1e-8 for larger shifts, where scipy 1.17 gives NaN.
        wrong = float(nctdtr(n - 1, shift, -beyond)) if shift < 5 else 0.0
        return 1 - float(nctdtr(n - 1, shift, beyond)) + wrong

    if power(MOST_SEEDS) < POWER:
        return None
    low, high = 2, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        if power(middle) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number; None stays None, and counts as a comparison.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, at) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(p_values) - rank)))
        corrected[at] = largest
    return corrected


def mcnemar(only_a: int, only_b: int) -> float:
    """p that two models are as often right, from the samples on which just one of them is.

    The exact test, two-sided: a binomial of one half. Source: McNemar 1947,
    doi:10.1007/BF02295996.
    """
    from scipy.special import bdtr

    parted = only_a + only_b
    if only_a == only_b:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), parted, 0.5)))


def _two_sided(t: float, degrees: int | float) -> float:
    from scipy.special import stdtr  # scipy.stats takes a second to import

    return float(2 * stdtr(degrees, -abs(t)))
