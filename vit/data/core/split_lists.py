"""Splits that stand in lists: for each split a file with the name of a sample a line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vit.data.core.file_names import expanded
from vit.data.formats.plain_text import lines_of
from vit.faults import Fault, did_you_mean, shorten

BLANKS = re.compile(r"\s+")
SPLITS = ("train", "val", "test")


def members(
    lists: Mapping[str, str],
    root: Path,
    names: Sequence[bytes],
    faults: list[Fault],
    warnings: list[str],
) -> dict[str, np.ndarray]:
    """Split → the positions in `names` of those that its list has, in the list's order.

    A line is the path of a file, with or without its ending, and maybe with further folders before
    it; or its bare name, where one file alone has it. A name may hold blanks; further words behind
    a blank, such as a label or the path of a map, count nothing. What is wrong goes into `faults`,
    all of it; files in no list are a line of `warnings`. Raises
    ValueError where the keys are no splits, or train has no list.
    """
    require_splits(lists)
    known = _Known(names)
    found: dict[str, np.ndarray] = {}
    first: dict[int, str] = {}  # position → the list that has it
    for split in (split for split in SPLITS if split in lists):
        file = root / expanded(lists[split])
        where = f"data.split_files.{split}={lists[split]}"
        if not file.is_file():
            near = sorted(path.name for path in root.glob("*.txt"))
            message = f"there is no file {file}.{did_you_mean(file.name, near)}"
            faults.append(Fault(where, message))
            continue
        lines = lines_of(file)
        if not lines:
            faults.append(Fault(str(file), "is empty; wanted the name of a file a line."))
        positions: list[int] = []
        sorts: dict[str, list[str]] = {}
        for number, line in enumerate(lines, start=1):
            meant = known.of(line)
            if len(meant) != 1:
                sort = "may be several files" if meant else "name no file"
                sorts.setdefault(sort, []).append(f"row {number} ({line[:60]})")
                continue
            other = first.get(meant[0])
            if other is None:
                first[meant[0]] = split
                positions.append(meant[0])
            else:
                sort = "come twice" if other == split else f"are in the list of {other} too"
                sorts.setdefault(sort, []).append(f"row {number} ({line[:60]})")
        for sort, places in sorts.items():
            message = f"lines that {sort}: {shorten(places)} ({len(places)} in all)."
            faults.append(Fault(str(file), message))
        found[split] = np.array(positions, dtype=np.int64)
    left = [os.fsdecode(name) for at, name in enumerate(names) if at not in first]
    if left and not faults:
        warnings.append(
            f"{root}: {len(left):,} of {len(names):,} images stand in none of the lists, and are "
            f"left out: {shorten(left)}."
        )
    return found


def require_splits(lists: Mapping[str, str]) -> None:
    """Raises ValueError where the keys of data.split_files are others than splits with files."""
    shown = ", ".join(f"{key}: {value}" for key, value in lists.items())
    odd = [key for key in lists if key not in SPLITS]
    if odd or "train" not in lists or not all(isinstance(name, str) for name in lists.values()):
        raise ValueError(
            f"data.split_files={{{shown}}}; wanted {{train: train.txt}}, and maybe val and test, "
            f"each with a file.{did_you_mean(str(odd[0]), SPLITS) if odd else ''}"
        )


def _without_further_words(line: str) -> list[str]:
    """The line, and what is left of it without its last word, its last two, and so on."""
    ends = [found.start() for found in BLANKS.finditer(line.strip())]
    return [line.strip()[:end] for end in (None, *reversed(ends))]


class _Known:
    """Files by their paths and by their bare names, both with and without endings."""

    def __init__(self, names: Sequence[bytes]):
        self._whole: dict[str, int] = {}
        self._by_stem: dict[str, list[int]] = {}
        self._by_name: dict[str, list[int]] = {}
        for position, raw in enumerate(names):
            path = PurePosixPath(os.fsdecode(raw))
            self._whole[str(path)] = position
            self._by_stem.setdefault(str(path.with_suffix("")), []).append(position)
            for name in {path.name, path.stem}:
                self._by_name.setdefault(name, []).append(position)

    def of(self, line: str) -> list[int]:
        """The positions that a line may mean, the nearest sort of likeness alone."""
        for text in _without_further_words(line):
            parts = PurePosixPath(text.replace("\\", "/")).parts
            for start in range(len(parts)):
                path = "/".join(parts[start:])
                if path in self._whole:
                    return [self._whole[path]]
                if path in self._by_stem:
                    return self._by_stem[path]
            if len(parts) == 1 and parts[0] in self._by_name:
                return self._by_name[parts[0]]
        return []
