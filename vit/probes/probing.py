"""Three readers of frozen features, each chosen on held-out training data.

A stratified part of train, drawn by a seed, is set aside; every member of a grid learns from the
rest and is measured on that part; the best of each kind then learns from all of train and is
measured, once, on the splits that are reported.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from vit.data.core.splits import stratified_split
from vit.faults import NAMED, Fault, Refused
from vit.probes import linear, logistic
from vit.probes.collecting import Vectors
from vit.probes.neighbours import NEIGHBOURS, TEMPERATURE, nearest_classes
from vit.probes.vectors import Pool, joined, parts_of

Reader = Literal["knn", "linear", "logistic"]
READERS: tuple[Reader, ...] = ("knn", "linear", "logistic")


@dataclass(frozen=True)
class Grid:
    """What is tried, and how the choice is made.

    `pool` is what kNN and the logistic regression read; the linear classifiers try every one of
    `pools` over every number of `blocks`.
    """

    pool: Pool
    pools: tuple[Pool, ...]
    blocks: tuple[int, ...] = (1,)
    readers: tuple[Reader, ...] = READERS
    neighbours: tuple[int, ...] = NEIGHBOURS
    temperature: float = TEMPERATURE
    rates: tuple[float, ...] = linear.RATES
    strengths: tuple[float, ...] = logistic.STRENGTHS
    held_out: float = 0.1
    seed: int = 0

    def inputs(self) -> list[tuple[Pool, int]]:
        """Pool and blocks of each kind of vector that the linear classifiers read."""
        found: list[tuple[Pool, int]] = [
            (pool, blocks) for blocks in self.blocks for pool in self.pools if pool != "head"
        ]
        return found + [("head", 1)] * ("head" in self.pools)

    def names(self) -> list[str]:
        """The vectors that all of this needs."""
        wanted = list(parts_of(self.pool, 1)) if {"knn", "logistic"} & {*self.readers} else []
        if "linear" in self.readers:
            wanted += [name for pool, blocks in self.inputs() for name in parts_of(pool, blocks)]
        return list(dict.fromkeys(wanted))


@dataclass
class Found:
    """One kind of reader: what was chosen, by what, and how good it is where nothing was chosen."""

    reader: Reader
    chosen: dict[str, Any]
    held_out: float  # accuracy of the choice on the part that was set aside
    tried: list[dict[str, Any]]  # every member of the grid with its `held_out`
    splits: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0

    def edges(self) -> list[str]:
        """The settings of the choice that are the first or the last of several that were tried, and
        better than all within: beyond them might be a better one."""
        found = []
        for name, value in self.chosen.items():
            tried = sorted({each[name] for each in self.tried})
            if isinstance(value, str) or len(tried) < 3 or value not in (tried[0], tried[-1]):
                continue
            others = [each["held_out"] for each in self.tried if each[name] != value]
            found += [name] if max(others) < self.held_out else []
        return found

    def to_plain(self) -> dict[str, Any]:
        return {
            "reader": self.reader,
            "chosen": self.chosen,
            "held_out_accuracy": self.held_out,
            "splits": self.splits,
            "seconds": round(self.seconds, 3),
            "tried": self.tried,
        }


class Data(NamedTuple):
    """What the readers are given; `kept` and `aside` are rows of `train`."""

    train: Vectors
    kept: Tensor
    aside: Tensor
    reported: Mapping[str, Vectors]
    num_classes: int


def probe(
    train: Vectors, reported: Mapping[str, Vectors], class_names: Sequence[str], grid: Grid
) -> list[Found]:
    """The readers of the grid, in its order. Raises Refused where train is too little for them."""
    data = _parted(train, reported, class_names, grid)
    found = []
    for reader in grid.readers:
        began = time.perf_counter()
        each = PROBES[reader](data, grid)
        each.seconds = time.perf_counter() - began
        found.append(each)
    return found


def require_classes(labels: Tensor, class_names: Sequence[str]) -> None:
    """Raises Refused where train lacks a class, or there is nothing to tell apart."""
    counts = torch.bincount(labels, minlength=len(class_names))
    missing = [name for name, count in zip(class_names, counts.tolist(), strict=True) if not count]
    if len(class_names) < 2:
        raise Refused(
            [Fault("data", f"{len(class_names)} class; wanted two or more to tell apart")]
        )
    if missing:
        named = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
        message = f"no training sample has the class {named}; take more of train, or leave it out"
        raise Refused([Fault("data", message)])


def _parted(
    train: Vectors, reported: Mapping[str, Vectors], class_names: Sequence[str], grid: Grid
) -> Data:
    require_classes(train.labels, class_names)
    kept, aside = stratified_split(train.labels.cpu().numpy(), grid.held_out, grid.seed)
    if not len(aside):
        message = "no class of train has two samples, so none can be held out to choose by"
        raise Refused([Fault("data", f"{message}; take more of train")])
    if "knn" in grid.readers and max(grid.neighbours) > len(kept):
        message = (
            f"{max(grid.neighbours)} is more than the {len(kept):,} training samples that are left "
            f"to choose by ({len(aside):,} of {len(train):,} are held out); take fewer"
        )
        raise Refused([Fault("--neighbours", message)])
    device = train.labels.device
    rows = (torch.from_numpy(kept).to(device), torch.from_numpy(aside).to(device))
    return Data(train, *rows, reported, len(class_names))


def _knn(data: Data, grid: Grid) -> Found:
    seen, labels = joined(data.train.by_name, grid.pool, 1), data.train.labels

    def classes(
        queries: Tensor, bank: Tensor, own: Tensor, counts: Sequence[int]
    ) -> dict[int, Tensor]:
        return nearest_classes(queries, bank, own, data.num_classes, counts, grid.temperature)

    aside = classes(seen[data.aside], seen[data.kept], labels[data.kept], grid.neighbours)
    tried: list[dict[str, Any]] = [
        {"neighbours": count, "held_out": _accuracy(aside[count], labels[data.aside])}
        for count in grid.neighbours
    ]
    best = max(tried, key=lambda each: each["held_out"])
    count = int(best["neighbours"])
    found = Found("knn", {"neighbours": count}, best["held_out"], tried)
    for split, own in data.reported.items():
        guessed = classes(joined(own.by_name, grid.pool, 1), seen, labels, [count])[count]
        found.splits[split] = {"accuracy": _accuracy(guessed, own.labels)}
    return found


def _linear(data: Data, grid: Grid) -> Found:
    labels = data.train.labels
    course = linear.course_for(len(data.kept))
    rates = [course.scaled(rate) for rate in grid.rates]
    tried: list[dict[str, Any]] = []
    losses: list[float] = []
    for pool, blocks in grid.inputs():
        seen = joined(data.train.by_name, pool, blocks)
        readers = linear.train_readers(
            seen[data.kept], labels[data.kept], data.num_classes, rates, course, grid.seed
        )
        accuracy, loss = linear.measured(readers, seen[data.aside], labels[data.aside])
        named = zip(grid.rates, accuracy.tolist(), strict=True)
        tried += [
            {"pool": pool, "blocks": blocks, "rate": rate, "held_out": value}
            for rate, value in named
        ]
        losses += loss.tolist()
    at = max(range(len(tried)), key=lambda each: (tried[each]["held_out"], -losses[each]))
    best = tried[at]
    chosen = {key: best[key] for key in ("pool", "blocks", "rate")}
    seen = joined(data.train.by_name, best["pool"], best["blocks"])
    course = linear.course_for(len(data.train))
    last = linear.train_readers(
        seen, labels, data.num_classes, [course.scaled(best["rate"])], course, grid.seed
    )
    found = Found("linear", chosen, best["held_out"], tried)
    for split, own in data.reported.items():
        vectors = joined(own.by_name, best["pool"], best["blocks"])
        accuracy, loss = linear.measured(last, vectors, own.labels)
        found.splits[split] = {"accuracy": accuracy.item(), "log_loss": loss.item()}
    return found


def _logistic(data: Data, grid: Grid) -> Found:
    seen, labels = joined(data.train.by_name, grid.pool, 1), data.train.labels
    aside = seen[data.aside]
    tried: list[dict[str, Any]] = []
    best, rank, last = math.nan, (-1.0, 0.0), None
    kept = labels[data.kept]
    for each in logistic.path(seen[data.kept], kept, data.num_classes, grid.strengths):
        logits = each.logits(aside)
        accuracy = _accuracy(logits.argmax(1), labels[data.aside])
        tried.append({"C": each.C, "held_out": accuracy})
        here = (accuracy, -logistic.log_loss(logits, labels[data.aside]))
        if here > rank:
            best, rank, last = each.C, here, each
    final = logistic.fit(seen, labels, data.num_classes, best, start=last)
    found = Found("logistic", {"C": best}, rank[0], tried)
    for split, own in data.reported.items():
        logits = final.logits(joined(own.by_name, grid.pool, 1))
        found.splits[split] = {
            "accuracy": _accuracy(logits.argmax(1), own.labels),
            "log_loss": logistic.log_loss(logits, own.labels),
        }
    return found


def _accuracy(guessed: Tensor, labels: Tensor) -> float:
    return (guessed == labels).double().mean().item()


PROBES: dict[Reader, Callable[[Data, Grid], Found]] = {
    "knn": _knn,
    "linear": _linear,
    "logistic": _logistic,
}
