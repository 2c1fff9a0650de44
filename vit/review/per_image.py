"""The best configuration against another, image by image, where predictions were kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from vit.review.configurations import Configuration, ended
from vit.review.ranking import Ranking
from vit.review.statistics import LEVEL, holm, mcnemar
from vit.runs.predictions import Predictions, read_predictions

SPLIT = "test"


def per_image(ranking: Ranking) -> dict[str, Any] | None:
    """The best against the baseline, or, where it is the baseline itself, against the second.

    None where there are not two configurations with a seed of which both kept predictions of the
    same samples. `seeds` has a row for each such seed: `images`, `both`, `only_a`, `only_b`,
    `neither`, `p` of the exact McNemar test, and `p_corrected` for the number of seeds (Holm).
    `only_a` and `only_b` are the sums over them, of which no p is told: the seeds look at the same
    images. The test is of two trained models; whether their recipes differ is for the ranking,
    which does not read this.
    """
    if len(ranking.places) < 2:
        return None
    best = ranking.places[0].configuration
    others = {place.configuration.id: place.configuration for place in ranking.places[1:]}
    other = others.get(ranking.baseline or "", ranking.places[1].configuration)
    ours, theirs = _kept(best), _kept(other)
    rows = [
        {"seed": seed, **_counted(ours[seed], theirs[seed])}
        for seed in sorted(ours.keys() & theirs.keys())
        if _are_of_the_same(ours[seed], theirs[seed])
    ]
    if not rows:
        return None
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_corrected"] = p
    told = {name: sum(row[name] for row in rows) for name in ("only_a", "only_b")}
    labels = {"a": best.id, "b": other.id, "a_label": best.label, "b_label": other.label}
    return {"split": SPLIT, **labels, "seeds": rows, **told, "text": _said(rows, labels)}


def _kept(configuration: Configuration) -> dict[int, Predictions]:
    """Seed → predictions, of runs that are done; of one seed run twice the later."""
    found = {}
    for run in sorted(configuration.runs, key=ended):
        told = read_predictions(run.path, SPLIT) if run.state == "done" else None
        if told is not None:
            found[run.seed] = told
    return found


def _are_of_the_same(a: Predictions, b: Predictions) -> bool:
    same = a.samples == b.samples and np.array_equal(a.index, b.index)
    return same and np.array_equal(a.target, b.target)


def _counted(a: Predictions, b: Predictions) -> dict[str, Any]:
    only_a, only_b = int((a.right & ~b.right).sum()), int((b.right & ~a.right).sum())
    both = int((a.right & b.right).sum())
    return {
        "images": len(a),
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "neither": len(a) - both - only_a - only_b,
        "p": mcnemar(only_a, only_b),
    }


def _said(rows: list[dict[str, Any]], labels: dict[str, str]) -> str:
    first = [row for row in rows if row["p_corrected"] < LEVEL and row["only_a"] > row["only_b"]]
    second = [row for row in rows if row["p_corrected"] < LEVEL and row["only_b"] > row["only_a"]]
    of = "the one seed" if len(rows) == 1 else f"{len(rows)} seeds"
    told = [
        f"{labels[name]} is right more often in {len(found)}"
        for name, found in (("a_label", first), ("b_label", second))
        if found
    ]
    if not told:
        return (
            f"in none of {of} is one of the two models right more often than chance would have it"
        )
    return f"of {of}, {' and '.join(told)}"
