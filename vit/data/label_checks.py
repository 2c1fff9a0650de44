"""What names of classes, and how many samples have them, tell of a table that was misread."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

FEWEST_ROWS = 20  # of fewer nothing can be told
GAPS = {"nan", "null", "none", "n/a", "na", "#n/a", "nil", "<na>", "undefined", "-", "?"}
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
    return f"nearly every sample has a class of its own: {classes:,} classes of {len(labels):,}"
