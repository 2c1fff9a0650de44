"""What names of classes, and how many samples have them, tell of a table that was misread."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.formats.cells import as_text

FEWEST_ROWS = 20  # of fewer nothing can be inferred
GAPS = {"nan", "null", "none", "n/a", "na", "#n/a", "nil", "<na>", "undefined", "-", "?"}
CALLED_SO = {"labels", "class", "classes", "class_name", "category", "target", "diagnosis", "y"}
NAMED = 5  # of one sort that are spelt out


def alike(names: Iterable[str]) -> list[str]:
    """A warning for each group of names that differ by case, spaces or Unicode's form alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        same = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(same, []).append(name)
    several = [sorted(group) for group in groups.values() if len(group) > 1]
    lines = [
        f"the classes {', '.join(map(repr, group))} differ by capitals or spaces alone, and are "
        "taken for several"
        for group in several[:NAMED]
    ]
    if len(several) > NAMED:
        lines.append(f"{len(several) - NAMED} more groups of classes are as alike as these")
    return lines


def like_gaps(names: Iterable[str]) -> list[str]:
    """A warning for names that programs write where there is no value."""
    return [
        f"{name!r} is taken for a class; if it stands for a gap, leave these samples out"
        for name in names
        if name.casefold() in GAPS - {"-", "?"} or name in GAPS
    ]


def each_its_own(labels: Sequence[str] | np.ndarray) -> str | None:
    """What to say where most samples share their class with none, as texts or ids would; or None.

    A class of one sample can be learnt and tested, but never both.
    """
    classes = len(np.unique(np.asarray(labels)))
    if len(labels) < FEWEST_ROWS or classes <= len(labels) / 2:
        return None
    counts = f"{classes:,} classes of {len(labels):,} samples"
    return f"nearly every sample has a class of its own: {counts}"


def columns_of_classes(columns: dict[str, list], without: set[str]) -> str:
    """A hint that names the columns of a table whose values repeat as those of classes do."""
    fit = []
    for name, values in columns.items():
        found = [as_text(value) for value in values]
        if name not in without and all(found) and 2 <= len(set(found)) <= len(found) / 4:
            fit.append(name)
    if not fit:
        return ""
    return f" The classes may be in {' or '.join(map(repr, fit))}: data.label_column={fit[0]}."


def other_labels(columns: dict[str, list], chosen: str, file: Path) -> list[str]:
    """A warning for columns that are called as labels are, and part the samples otherwise."""
    own = [as_text(value) for value in columns[chosen]]
    lines = []
    for name in columns:
        if name == chosen or name.lower() not in CALLED_SO:
            continue
        other = [as_text(value) for value in columns[name]]
        pairs = len(set(zip(own, other, strict=True)))
        if pairs > max(len(set(own)), len(set(other))):
            lines.append(
                f"{file}: {chosen!r} is taken for the classes, though {name!r} could be meant "
                f"too, with {len(set(other))} values: data.label_column={name}"
            )
    return lines


def spaced(values: Sequence[Any], where: str) -> list[str]:
    """A warning of labels with spaces before or behind them, which are left out."""
    padded = [value for value in values if isinstance(value, str) and value != value.strip()]
    if not padded:
        return []
    count = len(padded)
    return [f"{where}: {count} labels have spaces around them, such as {padded[0]!r}; left out"]
