"""Intervals, tests, power and shares against scipy, statsmodels and published tables."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import contingency_tables, oneway, power, weightstats
from statsmodels.stats.multitest import multipletests

from vit.review.effects import omega_squared
from vit.review.statistics import difference, holm, mcnemar, seeds_needed
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
    expected = stats.ttest_rel(list(A.values()), list(B.values()))
    assert (found.how, found.n) == ("paired", 5)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    low, high = expected.confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))


def test_other_seeds_are_compared_by_welchs_test():
    other = {seed + 10: value for seed, value in B.items() if seed < 4}
    found = difference(A, other)
    expected = stats.ttest_ind(list(A.values()), list(other.values()), equal_var=False)
    assert (found.how, found.n) == ("unpaired", 4)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    low, high = expected.confidence_interval(0.95)
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


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (5, 5), (1, 0), (9, 2), (2, 9), (76, 16)])
def test_mcnemars_test_is_statsmodels_and_scipys(only_a, only_b):
    expected = contingency_tables.mcnemar([[50, only_a], [only_b, 30]], exact=True)
    assert mcnemar(only_a, only_b) == pytest.approx(expected.pvalue, rel=1e-12)
    if only_a + only_b:
        binomial = stats.binomtest(only_a, only_a + only_b).pvalue
        assert mcnemar(only_a, only_b) == pytest.approx(binomial, rel=1e-12)


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03], [0.5, 0.2, 0.9, 0.001, 0.001], [0.02]])
def test_holms_correction_is_statsmodels(values):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())


def test_intervals_are_statsmodels():
    mean, half = interval(list(A.values()))
    low, high = weightstats.DescrStatsW(list(A.values())).tconfint_mean()
    assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-12)
    paired = difference(A, B)
    low, high = weightstats.DescrStatsW([A[s] - B[s] for s in A]).tconfint_mean()
    both = (paired.value - paired.half, paired.value + paired.half)
    assert both == pytest.approx((low, high), rel=1e-10)


@pytest.mark.parametrize("size", [0.15, 0.4, 0.77, 1.3, 2.5])
def test_the_power_of_the_seeds_needed_is_statsmodels(size):
    n = seeds_needed(size, 1.0)
    assert (
        power.TTestPower().power(size, n, 0.05) >= 0.8 > power.TTestPower().power(size, n - 1, 0.05)
    )


def test_shares_of_variance_are_those_of_an_analysis_of_variance():
    draw = np.random.default_rng(2)
    levels = np.repeat(np.arange(4), 6)
    values = draw.normal(0.1 * levels, 0.2)
    groups = [values[levels == level] for level in range(4)]
    expected = oneway.anova_oneway(groups, use_var="equal")
    # F = (between / 3) / (noise / 20), from which omega squared follows.
    f = expected.statistic
    assert omega_squared(values, levels) == pytest.approx(3 * (f - 1) / (3 * (f - 1) + 24))
