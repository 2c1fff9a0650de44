"""Intervals, tests and power against scipy.stats and published tables."""

import numpy as np
import pytest
from scipy import stats

from vit.review.statistics import difference, holm, seeds_needed
from vit.sweeps.seeds import interval

A = {0: 0.912, 1: 0.907, 2: 0.921, 3: 0.915, 4: 0.909}
B = {0: 0.901, 1: 0.903, 2: 0.908, 3: 0.911, 4: 0.896}


def test_the_interval_is_students():
    values = list(A.values())
    mean, half = interval(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-12)
    assert interval([0.5]) == (0.5, None)


def test_common_seeds_are_compared_in_pairs():
    found = difference(A | {9: 0.1}, B | {8: 0.9})
    told = stats.ttest_rel(list(A.values()), list(B.values()))
    assert (found.how, found.n) == ("paired", 5)
    assert found.p == pytest.approx(told.pvalue, rel=1e-10)
    low, high = told.confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))


def test_other_seeds_are_compared_by_welchs_test():
    other = {seed + 10: value for seed, value in B.items() if seed < 4}
    found = difference(A, other)
    told = stats.ttest_ind(list(A.values()), list(other.values()), equal_var=False)
    assert (found.how, found.n) == ("unpaired", 4)
    assert found.p == pytest.approx(told.pvalue, rel=1e-10)
    low, high = told.confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("a", "b", "n", "half"),
    [
        ({0: 1.0}, {0: 0.5}, 1, None),
        ({0: 1.0}, {1: 0.5}, 1, None),
        ({0: 0.3, 1: 0.4}, {0: 0.2, 1: 0.3}, 2, None),  # 0.1 each but for rounding
        (A, A, 5, 0.0),
    ],
)
def test_without_a_spread_there_is_no_p(a, b, n, half):
    found = difference(a, b)
    assert found.p is None and (found.n, found.half) == (n, half)


@pytest.mark.parametrize(("size", "needed"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_those_of_published_tables(size, needed):
    # G*Power: means of two dependent groups, two-sided 5 %, power 80 %.
    assert seeds_needed(size, 1.0) == needed
    assert seeds_needed(-3 * size, 3.0) == needed


def test_with_the_seeds_needed_four_of_five_trials_see_the_gap():
    draw = np.random.default_rng(0)
    n = seeds_needed(1.2, 1.0)
    p = stats.ttest_1samp(draw.normal(1.2, 1.0, (20_000, n)), 0.0, axis=1).pvalue
    fewer = stats.ttest_1samp(draw.normal(1.2, 1.0, (20_000, n - 1)), 0.0, axis=1).pvalue
    assert (p < 0.05).mean() >= 0.79 and (fewer < 0.05).mean() < 0.8


def test_extremes_of_power():
    assert seeds_needed(1.0, 0.0) == 2
    assert seeds_needed(1e6, 1.0) == 2
    assert seeds_needed(0.01, 1.0) is None
    assert seeds_needed(0.0, 1.0) is None


def test_holm_corrects_step_by_step():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, None, 0.01]) == [1.0, None, 0.03]
    assert holm([]) == []
