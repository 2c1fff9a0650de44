"""One board of the report: the tables of runs that one number can compare."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field

from vit.review.configurations import Configuration, Factor, format_value, gather
from vit.review.costs import COSTS, Cost, mean_costs, pareto_front
from vit.review.effects import Effects, effects
from vit.review.looks import LooksOfRun, looks
from vit.review.mistakes import Mistakes, mistakes
from vit.review.notes import notes_on
from vit.review.per_image import PerImage, per_image
from vit.review.pictures import PicturesOfRun, pictures
from vit.review.ranking import Kind, Place, choose_metric, rank
from vit.review.run import Run
from vit.review.run_rows import ENDED_BADLY, Failure, RunRow, Start, failure, run_row, starts
from vit.review.samples import sizes
from vit.review.shares import Clock, clock_of
from vit.review.statistics import Difference
from vit.sweeps.seeds import interval

Setting = float | int | str | bool


@dataclass(frozen=True)
class Verdict:
    """Whether there is a best one, in words; and what would settle it."""

    kind: Kind
    text: str
    advice: str


@dataclass(frozen=True)
class SeedInterval:
    """Mean over seeds, and half of its 95 % interval."""

    mean: float
    half: float | None
    n: int
    samples: list[int]  # sizes of the split; see vit/review/samples.py


@dataclass(frozen=True)
class ConfigurationRow:
    """One configuration; those without a finished run come last, with no mean."""

    id: str
    label: str
    settings: dict[str, Setting]  # by the factors' keys
    states: dict[str, int]  # state → runs
    n: int
    values: dict[str, float]  # seed → value
    mean: float | None
    half: float | None  # of the 95 % interval of the mean
    samples: list[int]  # how many each of its values was measured on: one size in most cases
    test: SeedInterval | None  # the same metric on the test split
    to_best: Difference | None
    p_to_best: float | None
    to_baseline: Difference | None
    p_to_baseline: float | None
    tied: bool
    costs: dict[str, float]


@dataclass(frozen=True)
class CostFront(Cost):
    """A kind of cost that differs, and the configurations that no other beats at a lower one."""

    front: list[str] = field(default_factory=list)  # ids


@dataclass(frozen=True)
class Board:
    """In the order in which the page and programs have them."""

    title: str  # `Classification on Digits`; empty where there is but one board
    metric: str
    mode: str
    unit: str  # what a sample is called
    verdict: Verdict
    baseline: str | None  # id of a configuration
    factors: list[Factor]
    configurations: list[ConfigurationRow]
    costs: list[CostFront]
    clock: Clock
    effects: Effects | None
    per_image: PerImage | None
    mistakes: Mistakes | None
    pictures: list[PicturesOfRun]
    looks: list[LooksOfRun]
    runs: list[RunRow]
    failures: list[Failure]
    again: list[Start]
    notes: list[str]


def board_of(
    title: str,
    runs: list[Run],
    ranked_runs: list[Run],
    metric: str | None,
    mode: str | None,
    baseline: str | None,
) -> tuple[Board, list[Configuration]]:
    """Tables of `runs`, whose ranking knows only `ranked_runs`; `baseline` is an id.

    Beside them the configurations, in the order of their rows. Raises Refused where the metric
    was never recorded.
    """
    metric, mode = choose_metric(ranked_runs, metric, mode)
    configurations, factors = gather(runs)
    known = {run.group for run in ranked_runs}
    ranking = rank([each for each in configurations if each.id in known], metric, mode, baseline)
    ranked = [place.configuration for place in ranking.places]
    places = {place.configuration.id: place for place in ranking.places}
    configurations = [*ranked, *(each for each in configurations if each.id not in places)]
    rows = [_row(each, places.get(each.id), metric) for each in configurations]
    values = [list(place.values.values()) for place in ranking.places]
    looked_at = ranked[:1] + [each for each in ranked[1:] if each.id == ranking.baseline]
    # Whatever they are ranked by, classes are compared only where they were counted alike.
    alike = [each for each in looked_at if each.runs[0].counted == ranked[0].runs[0].counted]
    numbers = {each.id: at for at, each in enumerate(configurations)}
    board = Board(
        title=title,
        metric=metric,
        mode=mode,
        unit=ranking.unit,
        verdict=Verdict(ranking.kind, ranking.verdict, ranking.advice),
        baseline=ranking.baseline,
        factors=factors,
        configurations=rows,
        costs=_fronts(rows, mode),
        clock=clock_of(runs),
        effects=effects(ranked, factors, values),
        per_image=per_image(ranking),
        mistakes=mistakes(alike),
        pictures=pictures(looked_at),
        looks=looks(looked_at if len(looked_at) > 1 else ranked[:2]),  # side by side
        runs=[run_row(run, numbers, metric, mode) for run in runs],
        failures=[failure(run) for run in runs if run.state in ENDED_BADLY],
        again=starts(runs),
        notes=notes_on(runs, ranking),
    )
    return board, configurations


def _row(each: Configuration, place: Place | None, metric: str) -> ConfigurationRow:
    test = metric.replace("val/", "test/", 1)
    tested = list(each.values(test).values()) if test != metric else []
    return ConfigurationRow(
        id=each.id,
        label=each.label,
        settings={key: _setting(value) for key, value in each.settings.items()},
        states=dict(Counter(run.state for run in each.runs)),
        n=len(place.values) if place else 0,
        values={str(seed): value for seed, value in place.values.items()} if place else {},
        mean=place.mean if place else None,
        half=place.half if place else None,
        samples=sizes(each.runs, metric),
        test=SeedInterval(*interval(tested), len(tested), sizes(each.runs, test))
        if tested
        else None,
        to_best=place.to_best if place else None,
        p_to_best=place.p_to_best if place else None,
        to_baseline=place.to_baseline if place else None,
        p_to_baseline=place.p_to_baseline if place else None,
        tied=place.tied if place else False,
        costs=mean_costs(each),
    )


def _setting(value: object) -> Setting:
    """As a number where it is one."""
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return format_value(value)


def _fronts(rows: list[ConfigurationRow], mode: str) -> list[CostFront]:
    fronts = []
    for cost in COSTS:
        cost_sign = 1 if cost.lower_is_better else -1
        loss_sign = -1 if mode == "max" else 1
        points = {
            row.id: (cost_sign * row.costs[cost.name], loss_sign * row.mean)
            for row in rows
            if row.mean is not None and cost.name in row.costs
        }
        if len(set(points.values())) > 1:
            fronts.append(CostFront(**asdict(cost), front=pareto_front(points)))
    return fronts
