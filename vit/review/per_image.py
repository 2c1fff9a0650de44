"""The best configuration against another, image by image, where predictions were kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vit.review.configurations import Configuration, ended
from vit.review.ranking import Ranking
from vit.review.statistics import LEVEL, holm, mcnemar
from vit.runs.predictions import Predictions, read_predictions

SPLIT = "test"


@dataclass
class SeedComparison:
    """Two models of one seed: how many samples both, one alone, or neither got right."""

    seed: int
    images: int
    both: int
    only_a: int
    only_b: int
    neither: int
    p: float  # of the exact McNemar test
    p_corrected: float = 1.0  # for the number of seeds (Holm)


@dataclass(frozen=True)
class PerImage:
    """Two configurations, sample by sample.

    `only_a` and `only_b` are sums over the seeds, of which there is no p: the seeds look at the
    same images.
    """

    split: str
    a: str  # ids
    b: str
    a_label: str
    b_label: str
    seeds: list[SeedComparison]
    only_a: int
    only_b: int
    text: str


def per_image(ranking: Ranking) -> PerImage | None:
    """The best against the baseline, or, where it is the baseline itself, against the second.

    None where there are not two configurations with a seed of which both kept predictions of the
    same samples. The test is of two trained models; whether their recipes differ is for the
    ranking, which does not read this.
    """
    if len(ranking.places) < 2:
        return None
    best = ranking.places[0].configuration
    others = {place.configuration.id: place.configuration for place in ranking.places[1:]}
    other = others.get(ranking.baseline or "", ranking.places[1].configuration)
    ours, theirs = _kept(best), _kept(other)
    rows = [
        _compared(seed, ours[seed], theirs[seed])
        for seed in sorted(ours.keys() & theirs.keys())
        if _are_of_the_same(ours[seed], theirs[seed])
    ]
    if not rows:
        return None
    for row, p in zip(rows, holm([row.p for row in rows]), strict=True):
        row.p_corrected = 1.0 if p is None else p
    return PerImage(
        split=SPLIT,
        a=best.id,
        b=other.id,
        a_label=best.label,
        b_label=other.label,
        seeds=rows,
        only_a=sum(row.only_a for row in rows),
        only_b=sum(row.only_b for row in rows),
        text=_in_words(rows, best.label, other.label),
    )


def _kept(configuration: Configuration) -> dict[int, Predictions]:
    """Seed → predictions, of runs that are done; of one seed run twice the later."""
    by_seed = {}
    for run in sorted(configuration.runs, key=ended):
        predictions = read_predictions(run.path, SPLIT) if run.state == "done" else None
        if predictions is not None:
            by_seed[run.seed] = predictions
    return by_seed


def _are_of_the_same(a: Predictions, b: Predictions) -> bool:
    same = a.samples == b.samples and np.array_equal(a.index, b.index)
    return same and np.array_equal(a.target, b.target)


def _compared(seed: int, a: Predictions, b: Predictions) -> SeedComparison:
    only_a, only_b = int((a.right & ~b.right).sum()), int((b.right & ~a.right).sum())
    both = int((a.right & b.right).sum())
    neither = len(a) - both - only_a - only_b
    p = mcnemar(only_a, only_b)
    return SeedComparison(seed, len(a), both, only_a, only_b, neither, p)


def _in_words(rows: list[SeedComparison], a_label: str, b_label: str) -> str:
    clear = [row for row in rows if row.p_corrected < LEVEL]
    won = {
        a_label: sum(row.only_a > row.only_b for row in clear),
        b_label: sum(row.only_b > row.only_a for row in clear),
    }
    of = "the one seed" if len(rows) == 1 else f"{len(rows)} seeds"
    parts = [f"{label} is right more often in {seeds}" for label, seeds in won.items() if seeds]
    if not parts:
        return (
            f"in none of {of} is one of the two models right more often than chance would have it"
        )
    return f"of {of}, {' and '.join(parts)}"
