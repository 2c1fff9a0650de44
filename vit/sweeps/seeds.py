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
    return mean(values), quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def quantile(degrees: int | float) -> float:
    """How many standard errors lie between the middle and the end of a 95 % interval."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(degrees, 0.975))
