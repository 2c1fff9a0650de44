"""Samples that belong together, such as the images of a patient: no group is in two splits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from vit.faults import Fault, shorten

KEY = "data.group_column"
# What people call such columns.
NAMES = re.compile(
    r"(patient|subject|participant|speaker|person|author|animal|site|session|location|group|case|"
    r"study|camera|scene|user|device|video|recording|slide)[-_ ]?(id|name|no)?",
    re.I,
)
FAR = 1.5  # times as large, or as small, as was asked for: worth a word


def group_like(columns: Mapping[Any, Sequence[str]]) -> list[Any]:
    """Columns that are called as groups are, and whose values repeat, each about twice or more."""
    return [
        name
        for name, values in columns.items()
        if NAMES.fullmatch(str(name)) and 2 <= len(set(values) - {""}) <= len(values) / 2
    ]


def keeps_together(column: object, values: Sequence[str]) -> str:
    """What to say of such a column that nobody asked for."""
    return (
        f"{column!r} seems to say what belongs together ({len(set(values)):,} groups), and a group "
        f"may come to be in train and in val; {KEY}={column} keeps each in one split"
    )


def shared_groups(groups: Mapping[str, np.ndarray], column: object, key: str = KEY) -> list[Fault]:
    """A fault for each two sources that have groups in common, where both come with the data."""
    faults = []
    for one, other in combinations(groups, 2):
        both = np.intersect1d(groups[one], groups[other]).tolist()
        if both:
            message = (
                f"is {column}, and {len(both):,} of its groups are in {one} and in {other}: "
                f"{shorten([str(name) for name in both])}. A group is to be in one split: mend the "
                "splits that the data come with, or leave this key out"
            )
            faults.append(Fault(key, message))
    return faults


def far_shares(
    groups: Mapping[str, np.ndarray],
    splits: Mapping[str, tuple[str, np.ndarray]],
    fractions: Mapping[str, float],
) -> list[str]:
    """A warning for each split of another size than was asked for by far, as groups are whole."""
    if "train" not in groups:
        return []
    lines, left = [], len(groups["train"])
    for split, fraction in fractions.items():
        name, members = splits.get(split, ("", np.empty(0)))
        if name != "train" or not fraction:
            continue
        share = len(members) / max(left, 1)
        if not fraction / FAR <= share <= fraction * FAR:
            whole = len(np.unique(groups["train"][members]))
            lines.append(
                f"{split} holds {share:.0%} of the samples, where data.{split}_fraction={fraction} "
                f"asks for {fraction:.0%}: groups stay whole, and it has {whole} of "
                f"{len(np.unique(groups['train'])):,}"
            )
        left -= len(members)
    return lines
