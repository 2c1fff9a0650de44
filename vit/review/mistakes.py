"""What configurations get wrong: classes, confusions and calibration, over their seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vit.review.configurations import Configuration
from vit.review.reader import Run

SCORES = {
    "class_iou": "IoU",
    "class_accuracy": "accuracy",
    "class_average_precision": "average precision",
    "class_f1": "F1",
    "class_ap": "AP",
}
MORE = {"class_ap50": "AP50", "class_accuracy": "accuracy"}  # told beside the first of them
MOST_CLASSES = 1000
RECALLS = 101  # at which COCO's tools tell the precision


def mistakes(configurations: list[Configuration]) -> dict[str, Any] | None:
    """Of runs that are done, on the test split; None where none recorded its classes.

    `classes`, `images` (of each class; or pixels, as `unit` says), `score` (its name), and `rows`,
    one a configuration: `id`, `label`, `runs`, `scores` (mean over seeds; None without images),
    `more` (further scores by name), `precision` (of each class, at the recalls 0, 0.02 … 1 and an
    IoU of 0.5, mean over seeds), `confusion` (true classes as rows, summed over seeds; None for
    many classes) and `calibration` (a list of bins of all seeds: `images`, `accuracy`,
    `confidence`). A configuration with other classes than the first is left out.
    """
    rows: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    for each in {each.id: each for each in configurations}.values():
        tables = [table for run in each.runs if (table := _sound(run))]
        first = first or (tables[0] if tables else {})
        tables = [t for t in tables if t["classes"] == first["classes"] and _score(t)]
        if not tables or _score(tables[0]) != _score(first):
            continue
        name = _score(first)
        rows.append(
            {
                "id": each.id,
                "label": each.label,
                "runs": len(tables),
                "scores": _means(tables, name),
                "more": {
                    word: _means(tables, key)
                    for key, word in MORE.items()
                    if key != name and all(_is_score(t.get(key), len(t["classes"])) for t in tables)
                },
                "precision": _precision(tables),
                "confusion": _summed(tables, len(first["classes"])),
                "calibration": [row for table in tables for row in _bins(table)],
            }
        )
    if not rows:
        return None
    return {
        "classes": first["classes"],
        "images": first.get("images", first.get("pixels")),
        "unit": "samples" if "images" in first else "pixels",
        "score": SCORES[_score(first)],
        "rows": rows,
    }


def _sound(run: Run) -> dict[str, Any] | None:
    """The tables of a run, if they have as many scores as classes."""
    tables, classes = run.tables, run.tables.get("classes")
    if run.state != "done" or not isinstance(classes, list) or len(classes) > MOST_CLASSES:
        return None
    name = _score(tables)
    images = tables.get("images", tables.get("pixels"))
    sound = name and len(tables[name]) == len(classes)
    sound = sound and (images is None or (isinstance(images, list) and len(images) == len(classes)))
    return {**tables, "classes": [str(each) for each in classes]} if sound else None


def _score(tables: dict[str, Any]) -> str:
    """Which of the scores it holds, or an empty string."""
    return next((name for name in SCORES if _is_score(tables.get(name))), "")


def _is_score(values: Any, classes: int | None = None) -> bool:
    if not isinstance(values, list) or classes not in (None, len(values)):
        return False
    return all(v is None or isinstance(v, int | float) for v in values)


def _means(tables: list[dict[str, Any]], name: str) -> list[float | None]:
    """Of each class over the runs that have a number for it."""
    scores = np.array([table[name] for table in tables], np.float64)  # None becomes NaN
    known = np.isfinite(scores)
    means = np.where(known, scores, 0).sum(0) / np.maximum(known.sum(0), 1)
    means[~known.any(0)] = np.nan
    return [None if math.isnan(mean) else mean for mean in means.tolist()]


def _precision(tables: list[dict[str, Any]]) -> list[list[float] | None] | None:
    """The mean curve of each class; None for one that some run has no curve for."""
    classes = len(tables[0]["classes"])
    told = [table.get("precision") for table in tables]
    if not all(isinstance(each, list) and len(each) == classes for each in told):
        return None
    curves: list[list[float] | None] = []
    for own in zip(*told, strict=True):  # type: ignore[arg-type]
        try:
            values = np.array(own, np.float64)
        except (ValueError, TypeError):
            return None
        sound = values.shape == (len(told), RECALLS) and np.isfinite(values).all()
        curves.append(values.mean(0)[::2].round(3).tolist() if sound else None)
    return curves if any(curves) else None


def _summed(tables: list[dict[str, Any]], classes: int) -> list[list[int]] | None:
    try:
        matrices = np.array([table["confusion"] for table in tables], np.int64)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    sound = matrices.shape[1:] == (classes, classes)
    return matrices.sum(0).tolist() if sound else None


def _bins(table: dict[str, Any]) -> list[dict[str, Any]]:
    told = table.get("calibration")
    wanted = ("images", "accuracy", "confidence")
    return [
        {name: row[name] for name in wanted}
        for row in (told if isinstance(told, list) else [])
        if isinstance(row, dict) and all(isinstance(row.get(n), int | float) for n in wanted)
    ]
