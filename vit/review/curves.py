"""Curves of all runs, thinned out and rounded, as the page draws them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vit.review.configurations import Configuration
from vit.review.history import Series
from vit.review.run import Run, inside

MOST_POINTS = 250  # a curve
FEWEST_POINTS = 40
MOST_NUMBERS = 500_000  # on the page; about 7 bytes each
SMALLEST, LARGEST = 1e-15, 1e15  # whose digits numpy finds as Python does
KNOTS = 60  # by which the page turns steps into seconds
OF_THE_CLOCK = ("timing/images_per_second",)


Numbers = list[float | int | None]  # None is NaN or infinity, of which JSON knows nothing


@dataclass(frozen=True)
class RunCurves:
    """What is drawn of one run: logged values, not means of them."""

    configuration: int  # its place in the report
    seed: int
    images_per_step: object
    steps_per_epoch: float | None
    clock: list[Numbers] | None  # steps, and training seconds at them
    series: dict[str, list[int | Numbers]]  # metric → [grid, values]


@dataclass(frozen=True)
class Curves:
    """Of all runs; they share `grids` of steps."""

    metrics: list[str]
    grids: list[list[int]]
    runs: list[RunCurves]


def curves(configurations: list[Configuration], first: str, most: int = MOST_NUMBERS) -> Curves:
    """At most so many numbers, if a curve can do with that; `first` is put before all metrics."""
    everything = [(at, run) for at, each in enumerate(configurations) for run in each.runs]
    chosen = {id(run): _drawn(run) for _, run in everything}
    count = sum(map(len, chosen.values()))
    points = max(FEWEST_POINTS, min(MOST_POINTS, most // max(count, 1)))
    grids: dict[tuple[int, ...], int] = {}
    runs = []
    for at, run in everything:
        series: dict[str, list[int | Numbers]] = {}
        for name, one in chosen[id(run)].items():
            kept = thinned(len(one), points)
            steps = tuple(one.steps[kept].tolist())
            series[name] = [grids.setdefault(steps, len(grids)), rounded(one.values[kept])]
        runs.append(
            RunCurves(
                configuration=at,
                seed=run.seed,
                images_per_step=inside(run.config, "data", "batch_size"),
                steps_per_epoch=steps_per_epoch(run),
                clock=_clock(run),
                series=series,
            )
        )
    names = sorted({name for run in runs for name in run.series}, key=_reading_order)
    names.sort(key=lambda name: name != first)
    return Curves(names, [list(grid) for grid in grids], runs)


def _drawn(run: Run) -> dict[str, Series]:
    return {
        name: series
        for name, series in run.history.items()
        if len(series) > 1
        and name != "epoch"
        and (not name.startswith("timing/") or name in OF_THE_CLOCK)
    }


def _reading_order(name: str) -> tuple[int, str]:
    order = ("val/", "train/", "lr", "timing/")
    return next((at for at, word in enumerate(order) if name.startswith(word)), len(order)), name


@functools.cache
def thinned(count: int, points: int) -> NDArray[np.intp]:
    """At most `points` places, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, points)).round().astype(np.intp))


def rounded(values: NDArray[np.float64]) -> Numbers:
    """Five digits; None for what JSON has no number for."""
    known = np.isfinite(values)
    usual = known & (np.abs(values) > SMALLEST) & (np.abs(values) < LARGEST)
    # A power of ten up to 22 is exact, so that each quotient is what its five digits read as.
    places = np.zeros(len(values))
    places[usual] = 4 - np.floor(np.log10(np.abs(values[usual])))
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    with np.errstate(invalid="ignore"):
        short = np.rint(values * up / down) / up * down
    rare = known & ~usual & (values != 0)
    short[rare] = [float(f"{value:.5g}") for value in values[rare]]
    whole = known & (short == np.rint(short)) & (np.abs(short) < 1e9)
    numbers: Numbers = short.tolist()
    for at in np.flatnonzero(whole | ~known).tolist():
        numbers[at] = int(short[at]) if known[at] else None
    return numbers


def steps_per_epoch(run: Run) -> float | None:
    """From what the run ended with, or from the last epoch that was followed by another."""
    steps, epochs = run.results.get("steps"), run.results.get("epochs")
    if isinstance(steps, int) and isinstance(epochs, int) and steps > 0 and epochs > 0:
        return steps / epochs
    epoch = run.history.get("epoch")
    if epoch is None:
        return None
    whole = np.flatnonzero(epoch.values < epoch.values.max())
    if not len(whole):
        return None
    last = whole[-1]
    return float(epoch.steps[last] / (epoch.values[last] + 1))


def _clock(run: Run) -> list[Numbers] | None:
    """Training seconds, without validation, after so many steps."""
    pace = run.history.get("timing/step_seconds")
    if pace is None or not len(pace):
        return None
    each = np.where(np.isfinite(pace.values), pace.values, 0.0)
    seconds = np.cumsum(np.diff(pace.steps, prepend=0) * each)
    kept = thinned(len(pace), KNOTS)
    return [pace.steps[kept].tolist(), rounded(seconds[kept])]
