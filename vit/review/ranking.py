"""Which configuration is best, and whether that can be distinguished from noise at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vit.faults import Fault, Refused, did_you_mean
from vit.metrics.direction import best_at_zero, is_lower_better, without_direction
from vit.review.configurations import Configuration
from vit.review.run import Run
from vit.review.samples import seeds_and_samples, sizes, unit_of
from vit.review.statistics import LEVEL, Difference, difference, holm, seeds_needed
from vit.sweeps.seeds import interval

Kind = Literal["clear", "unclear", "nothing"]


@dataclass
class Place:
    """A configuration in the ranking; differences are its mean minus the other's."""

    configuration: Configuration
    values: dict[int, float]  # seed → value
    mean: float
    half: float | None  # of the 95 % interval of the mean
    to_best: Difference | None = None  # None for the best itself
    p_to_best: float | None = None  # corrected for the number of configurations
    to_baseline: Difference | None = None
    p_to_baseline: float | None = None
    tied: bool = False  # not significantly worse than the best
    samples: list[int] = field(default_factory=list)  # sizes of what its values were measured on


@dataclass
class Ranking:
    """The best first; `kind` is clear only where all others are significantly worse."""

    metric: str
    mode: str
    places: list[Place]
    baseline: str | None  # id of a configuration
    kind: Kind
    verdict: str
    advice: str  # what would settle it; empty where nothing is to be settled
    unit: str = "sample"


def choose_metric(runs: list[Run], metric: str | None, mode: str | None) -> tuple[str, str]:
    """What to rank by: what was asked for, else what most runs selected their checkpoints by.

    Raises Refused where no run has recorded that metric.
    """
    monitors = [run.monitor for run in runs if run.monitor is not None]
    known = sorted({name for run in runs for name in (*run.metrics, *run.history)} - {"epoch"})
    if metric is None:
        if not monitors:
            message = "is needed: no run names one under checkpoint.monitor. There are "
            raise Refused([Fault("--metric", message + (", ".join(known) or "none"))])
        most = max(monitors, key=monitors.count)
        return most[0], mode or most[1]
    if metric not in known:
        message = f"no run has recorded {metric!r}.{did_you_mean(metric, known)}"
        raise Refused([Fault("--metric", f"{message} There are {', '.join(known) or 'none'}")])
    monitored = next((its for name, its in monitors if name == metric), None)
    if best_at_zero(metric) and not (mode or monitored):
        message = f"{without_direction(metric)}. --mode=max or min ranks by it all the same"
        raise Refused([Fault("--metric", message)])
    return metric, mode or monitored or ("min" if is_lower_better(metric) else "max")


def rank(
    configurations: list[Configuration], metric: str, mode: str, baseline: str | None = None
) -> Ranking:
    """Ranks by the mean over seeds; `baseline` is the id of the one to compare with."""
    places = []
    for each in configurations:
        values = each.values(metric)
        if values:
            mean, half = interval(list(values.values()))
            samples = sizes(each.runs, metric)
            places.append(Place(each, values, mean, half, samples=samples))
    places.sort(key=lambda place: place.mean, reverse=mode == "max")
    unit = unit_of(run for each in configurations for run in each.runs)
    if not places:
        verdict = f"No run is done with a finite {metric}: there is nothing to rank yet."
        return Ranking(metric, mode, [], None, "nothing", verdict, "", unit)
    ids = [place.configuration.id for place in places]
    if baseline not in ids:
        baseline = next(each.id for each in configurations if each.id in ids)
    for place, gap, p in _compared(places, places[0]):
        place.to_best, place.p_to_best = gap, p
    for place, gap, p in _compared(places, places[ids.index(baseline)]):
        place.to_baseline, place.p_to_baseline = gap, p
    for place in places[1:]:
        place.tied = place.p_to_best is None or place.p_to_best >= LEVEL
    return Ranking(metric, mode, places, baseline, *_verdict(places, metric, unit), unit)


def _compared(places: list[Place], other: Place) -> list[tuple[Place, Difference, float | None]]:
    """Every place but `other`, its difference to that one, and p corrected for their number."""
    rest = [place for place in places if place is not other]
    gaps = [difference(place.values, other.values) for place in rest]
    return list(zip(rest, gaps, holm([gap.p for gap in gaps]), strict=True))


def _verdict(places: list[Place], metric: str, unit: str) -> tuple[Kind, str, str]:
    best, others = places[0], places[1:]
    name, n = best.configuration.label, len(best.values)
    said = f"{best.mean:.4g}" + ("" if best.half is None else f" ± {best.half:.2g}")
    said += f" ({seeds_and_samples(n, best.samples, unit)})"
    if not others:
        verdict = f"One configuration has finished: {metric} {said}."
        return "nothing", verdict, "" if n > 1 else "Run more seeds to know its spread."
    tied = [place for place in others if place.tied]
    if not tied:
        worst = max(place.p_to_best or 0.0 for place in others)
        verdict = f"{name} is best: {metric} {said}, told from "
        verdict += "the other" if len(others) == 1 else f"each of the {len(others)} others"
        return "clear", f"{verdict} (p ≤ {_up(worst)}).", ""
    if all(place.mean == best.mean for place in others):
        verdict = f"All {len(places)} configurations have the same mean: {metric} {said}."
        return "unclear", verdict, _advice(best, tied)
    names = f"{len(tied)} of {len(others)} others" if len(others) > 1 else "the other"
    if len(tied) == 1 and len(others) > 1:
        names = tied[0].configuration.label
    verdict = f"{name} has the best mean, {metric} {said}, but cannot be told from {names}."
    return "unclear", verdict, _advice(best, tied)


def _advice(best: Place, tied: list[Place]) -> str:
    """How many more seeds would settle it with the nearest, if the gap is what it seems."""
    if len(best.values) < 2 or all(len(place.values) < 2 for place in tied):
        return "With one seed nothing is known of the noise: run at least three, seed=range(3)."
    known = [place for place in tied if place.to_best and place.to_best.spread]
    if not known:
        return (
            "Their differences do not vary from seed to seed, so few seeds prove nothing: run more."
        )
    nearest = known[0]
    gap = nearest.to_best
    assert gap is not None and gap.spread is not None
    label, size = nearest.configuration.label, abs(gap.value)
    needed = seeds_needed(gap.value, gap.spread)
    if needed is None:
        return f"{label} is as good as equal: a gap of {size:.2g} would need over 1,000 seeds."
    more = needed - gap.n
    few = "" if len(tied) == 1 else f" Run the first few of the {len(tied) + 1} with more seeds."
    if more <= 0:
        return f"{label} is {size:.2g} behind: close to being told apart.{few}"
    alone = "" if len(tied) == 1 else ", compared alone"
    return (
        f"{label} is {size:.2g} behind: a gap this size needs about {more} more seed"
        f"{'s' if more > 1 else ''} to be seen{alone}.{few}"
    )


def _up(p: float) -> str:
    """A p value, rounded up to two digits."""
    return "0.0001" if p <= 1e-4 else f"{p * 1.005:.2g}"
