"""What a few seeds say of a configuration."""

from __future__ import annotations

import math
from statistics import mean, stdev


def interval(values: list[float]) -> tuple[float, float | None]:
    """Mean, and half the width of Student's 95 % interval of the mean; None for a single value.

    The quantiles are those of the t distribution with n - 1 degrees of freedom, two-sided 95 %.
    """
    if len(values) < 2:
        return mean(values), None
    from scipy.stats import t

    quantile = float(t.ppf(0.975, len(values) - 1))
    return mean(values), quantile * stdev(values) / math.sqrt(len(values))
