"""Classes of val or test of which train has no sample: refused, or their samples are left out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np

from vit.data.core.sources import Contents
from vit.faults import Fault, did_you_mean, shorten

UnseenClasses = Literal["error", "skip"]
C = TypeVar("C", bound=Contents[Any])
KEY = "data.on_unseen_class"


def without_unseen(contents: C, how: UnseenClasses, unit: str) -> C:
    """The contents without the classes of val and test that no sample of train has.

    Such a class cannot be learnt, and every measure would count it as missed. With "error" each
    split that has some is a fault; with "skip" its samples are in no split any more, and a warning
    counts them. A class without a sample anywhere stays: it is no matter of splits.
    """
    names = contents.class_names
    if not names or "train" not in contents.sources:
        return contents
    numbers = {split: _numbers(source.labels) for split, source in contents.sources.items()}
    counts = {split: _counts(each, len(names)) for split, each in numbers.items()}
    seen = counts["train"] > 0
    unseen = ~seen & (sum(counts.values()) > 0)
    if not unseen.any():
        return contents
    faults, warnings = list(contents.faults), list(contents.warnings)
    unused = dict(contents.unused)
    for split, source in contents.sources.items():
        of_unseen = np.flatnonzero(_have(source.labels, unseen))
        if not len(of_unseen):
            continue
        here = [names[number] for number in np.flatnonzero(unseen & (counts[split] > 0)).tolist()]
        place = _place(contents.origin, split)
        number, first = len(of_unseen), source.name(int(of_unseen[0]))
        known = [name for name, known in zip(names, seen, strict=True) if known]
        if how == "error":
            faults.append(Fault(place, refusal(here, known, number, unit, first)))
        else:
            warnings.append(f"{place}: {left_out(here, number, unit)}")
            unused[split] = np.union1d(unused.get(split, np.empty(0, np.int64)), of_unseen)
    if how == "error":
        return replace(contents, faults=faults)
    sources = {split: _renumbered(source, ~unseen) for split, source in contents.sources.items()}
    kept = tuple(name for name, gone in zip(names, unseen, strict=True) if not gone)
    return replace(contents, sources=sources, class_names=kept, warnings=warnings, unused=unused)


def _place(origin: Mapping[str, str], split: str) -> str:
    """Where a split is from; with its name where train is from there too, as of one table."""
    place = origin.get(split, "data")
    return place if place != origin.get("train", "data") else f"{place} ({split})"


def refusal(classes: Sequence[str], known: Iterable[str], count: int, unit: str, at: str) -> str:
    """What to say of `count` samples, the first of them `at`, of classes that train lacks."""
    return (
        f"classes that train lacks: {shorten(list(map(str, classes)))}."
        f"{did_you_mean(str(classes[0]), known)} Nothing teaches them; {KEY}=skip leaves their "
        f"{count:,} {_plural(unit, count)} out, such as {at}."
    )


def left_out(classes: Sequence[str], count: int, unit: str) -> str:
    """What to say where they are left out."""
    are = f"{_plural(unit, count)} {'is' if count == 1 else 'are'} left out"
    return f"{count:,} {are}, of classes that train lacks: {shorten([*classes])}"


def _plural(unit: str, count: int) -> str:
    return unit if count == 1 else f"{unit}es" if unit.endswith("x") else f"{unit}s"


def _numbers(labels: np.ndarray) -> np.ndarray:
    """The class numbers that occur, one an occurrence."""
    return np.nonzero(labels)[1] if labels.ndim == 2 else labels


def _counts(numbers: np.ndarray, classes: int) -> np.ndarray:
    """Samples of each class; numbers out of range are for another check."""
    known = numbers[(numbers >= 0) & (numbers < classes)]
    return np.bincount(known, minlength=classes)


def _have(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Which samples have one of these classes."""
    if labels.ndim == 2:
        return np.asarray((labels[:, classes] > 0).any(axis=1))
    return np.isin(labels, np.flatnonzero(classes))


def _renumbered(source: Any, kept: np.ndarray) -> Any:
    """The source with the numbers of the classes that are kept; -1 for the others."""
    other = copy.copy(source)
    if source.labels.ndim == 2:
        other.labels = source.labels[:, kept]
    else:
        number = np.where(kept, np.cumsum(kept) - 1, -1)
        sound = (source.labels >= 0) & (source.labels < len(kept))
        other.labels = np.where(sound, number[np.where(sound, source.labels, 0)], source.labels)
    return other
