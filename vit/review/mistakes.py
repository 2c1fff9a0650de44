"""What configurations get wrong: classes, confusions and calibration, over their seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vit.review.configurations import Configuration
from vit.review.run import Run

Tables = dict[str, Any]  # of classes, as a run's metrics.json has them
SCORES = {
    "class_iou": "IoU",
    "class_accuracy": "accuracy",
    "class_average_precision": "average precision",
    "class_f1": "F1",
    "class_ap": "AP",
}
MORE = {"class_ap50": "AP50", "class_accuracy": "accuracy"}  # shown beside the first of them
MOST_CLASSES = 1000
RECALLS = 101  # at which COCO's tools have the precision


Scores = list[float | int | None]  # of each class; None without images


@dataclass(frozen=True)
class CalibrationBin:
    """Samples of which a run was about as sure."""

    images: float | int
    accuracy: float | int
    confidence: float | int


@dataclass(frozen=True)
class MistakesOf:
    """One configuration, over its seeds."""

    id: str
    label: str
    runs: int
    scores: Scores  # means over seeds
    more: dict[str, Scores]  # further scores by name
    precision: list[list[float] | None] | None  # at the recalls 0, 0.02 … 1 and an IoU of 0.5, mean
    confusion: list[list[int]] | None  # true classes as rows, summed; None for many classes
    calibration: list[CalibrationBin]  # bins of all seeds


@dataclass(frozen=True)
class Mistakes:
    """By class; `images` counts what `unit` says, samples or pixels."""

    classes: list[str]
    images: list[object] | None
    unit: Literal["samples", "pixels"]
    score: str
    rows: list[MistakesOf]


def mistakes(configurations: list[Configuration]) -> Mistakes | None:
    """Of runs that are done, on the test split; None where none recorded its classes.

    A configuration with other classes than the first is left out.
    """
    rows: list[MistakesOf] = []
    first: Tables = {}
    for each in {each.id: each for each in configurations}.values():
        tables = [table for run in each.runs if (table := _sound(run))]
        first = first or (tables[0] if tables else {})
        tables = [t for t in tables if t["classes"] == first["classes"] and _score(t)]
        if not tables or _score(tables[0]) != _score(first):
            continue
        name = _score(first)
        more = {
            word: _means(tables, key)
            for key, word in MORE.items()
            if key != name and all(_is_score(t.get(key), len(t["classes"])) for t in tables)
        }
        rows.append(
            MistakesOf(
                id=each.id,
                label=each.label,
                runs=len(tables),
                scores=_means(tables, name),
                more=more,
                precision=_precision(tables),
                confusion=_sum_of_confusions(tables, len(first["classes"])),
                calibration=[bin for table in tables for bin in _bins(table)],
            )
        )
    if not rows:
        return None
    return Mistakes(
        classes=first["classes"],
        images=first.get("images", first.get("pixels")),
        unit="samples" if "images" in first else "pixels",
        score=SCORES[_score(first)],
        rows=rows,
    )


def _sound(run: Run) -> Tables | None:
    """The tables of a run, if they have as many scores as classes."""
    tables, classes = run.tables, run.tables.get("classes")
    if run.state != "done" or not isinstance(classes, list) or len(classes) > MOST_CLASSES:
        return None
    name = _score(tables)
    images = tables.get("images", tables.get("pixels"))
    sound = name and len(tables[name]) == len(classes)
    sound = sound and (images is None or (isinstance(images, list) and len(images) == len(classes)))
    return {**tables, "classes": [str(each) for each in classes]} if sound else None


def _score(tables: Tables) -> str:
    """Which of the scores it holds, or an empty string."""
    return next((name for name in SCORES if _is_score(tables.get(name))), "")


def _is_score(values: object, classes: int | None = None) -> bool:
    if not isinstance(values, list) or classes not in (None, len(values)):
        return False
    return all(v is None or isinstance(v, int | float) for v in values)


def _means(tables: list[Tables], name: str) -> Scores:
    """Of each class over the runs that have a number for it."""
    scores = np.array([table[name] for table in tables], np.float64)  # None becomes NaN
    known = np.isfinite(scores)
    means = np.where(known, scores, 0).sum(0) / np.maximum(known.sum(0), 1)
    means[~known.any(0)] = np.nan
    return [None if math.isnan(mean) else mean for mean in means.tolist()]


def _precision(tables: list[Tables]) -> list[list[float] | None] | None:
    """The mean curve of each class; None for one that some run has no curve for."""
    classes = len(tables[0]["classes"])
    recorded = [table.get("precision") for table in tables]
    if not all(isinstance(each, list) and len(each) == classes for each in recorded):
        return None
    curves: list[list[float] | None] = []
    for of_class in zip(*recorded, strict=True):  # type: ignore[arg-type]
        try:
            values = np.array(of_class, np.float64)
        except (ValueError, TypeError):
            return None
        sound = values.shape == (len(recorded), RECALLS) and np.isfinite(values).all()
        curves.append(values.mean(0)[::2].round(3).tolist() if sound else None)
    return curves if any(curves) else None


def _sum_of_confusions(tables: list[Tables], classes: int) -> list[list[int]] | None:
    try:
        matrices = np.array([table["confusion"] for table in tables], np.int64)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    sound = matrices.shape[1:] == (classes, classes)
    return matrices.sum(0).tolist() if sound else None


def _bins(table: Tables) -> list[CalibrationBin]:
    bins = table.get("calibration")
    names = ("images", "accuracy", "confidence")
    return [
        CalibrationBin(**{name: row[name] for name in names})
        for row in (bins if isinstance(bins, list) else [])
        if isinstance(row, dict) and all(isinstance(row.get(n), int | float) for n in names)
    ]
