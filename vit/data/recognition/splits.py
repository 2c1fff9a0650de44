"""Which names in a folder, or of files, are splits; the plainest where several mean one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vit.data.core.split_names import split_of

SPLITS = ("train", "val", "test")


def splits_in(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Split → its name; and the names that mean a split which another name has already.

    Of several the shortest is taken, as `vit.data.core.split_names.words_for` does.
    """
    found: dict[str, str] = {}
    doubled = []
    for name in sorted(names, key=lambda name: (len(name), name)):
        split = split_of(name)
        if split and split in found:
            doubled.append(name)
        elif split:
            found[split] = name
    return {split: found[split] for split in SPLITS if split in found}, doubled


def parted(stem: str) -> tuple[str, str | None]:
    """What a file is of and its split: `descriptions.train` → descriptions, train."""
    words = re.split(r"([-_. ])", stem)
    for at in range(len(words) - 1, -1, -2):
        if split := split_of(words[at]):
            rest = "".join(words[:at] + words[at + 1 :]).strip("-_. ")
            return re.sub(r"([-_. ])[-_. ]+", r"\1", rest).lower(), split
    return stem.lower(), None
