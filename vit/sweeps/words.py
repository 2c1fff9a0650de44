"""The words of a sweep's command, sorted, and the points that they make. Plain text: what Hydra's
grammar says of a word was decided by who read it."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vit.faults import Fault, Refused

MOST_VALUES = 10_000  # of one key, and points of a grid
NAMES_NO_SWEEP = ("hydra", "sweep", "tracking", "watch", "note", "tags")


@dataclass(frozen=True)
class Range:
    """Any number between two ends, from which a search chooses."""

    low: float | int
    high: float | int
    step: float | int | None
    log: bool  # uniform in the logarithm
    whole: bool


@dataclass
class Words:
    """The words of one command, sorted."""

    fixed: list[str] = field(default_factory=list)
    axes: dict[str, list[str]] = field(default_factory=dict)  # key → the text of each value
    ranges: dict[str, Range] = field(default_factory=dict)


def grid(words: Words) -> Iterator[list[str]]:
    """The words of every point: fixed ones, then one value of each axis, the last varying first."""
    points = math.prod(len(values) for values in words.axes.values())
    if points > MOST_VALUES:
        product = " × ".join(f"{len(values)} {key}" for key, values in words.axes.items())
        raise Refused([Fault("-m", too_many(f"{product} are {points:,} runs"))])
    axes = [[f"{key}={value}" for value in values] for key, values in words.axes.items()]
    for point in itertools.product(*axes):
        yield [*words.fixed, *point]


def points(words: Words, listed: list[str]) -> Iterable[dict[str, str]]:
    """Axis → value for each point: the grid, and each point of a list with it."""
    faults = [Fault("sweep.points", f"{p!r} is no text of overrides") for p in listed if not p]
    if faults:
        raise Refused(faults)
    fixed = len(words.fixed)
    for text in listed or [""]:
        try:
            listed_values = dict(word.partition("=")[::2] for word in shlex.split(text))
        except ValueError as error:
            raise Refused([Fault("sweep.points", f"{text!r}: {error}")]) from error
        for point in grid(words):
            yield {**dict(word.partition("=")[::2] for word in point[fixed:]), **listed_values}


def too_many(count: str) -> str:
    """A message; `count` says how many there are of what."""
    return f"{count}; wanted at most {MOST_VALUES:,} in one sweep"


def sweep_name(words: Words, experiment: str) -> str:
    """`digits-depth-seed-1a2b3c`: the same while only the values of its axes grow.

    What follows the axes tells apart the words that hold for every run.
    """
    keys = [*words.axes, *words.ranges]
    kept = [word for word in words.fixed if _group(word) not in NAMES_NO_SWEEP]
    identity = json.dumps([experiment, sorted(kept), sorted(keys)])
    short = [key.split("@")[0].split(".")[-1].split("/")[-1].lstrip("+") for key in keys]
    return "-".join([experiment, *short[:4], hashlib.sha1(identity.encode()).hexdigest()[:6]])


def _group(word: str) -> str:
    return re.split(r"[.=@/]", word.lstrip("+~"), maxsplit=1)[0]
