"""Which sample is in which split, as names that a person and a later start can find again."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from vit.data.core.samples import SampleData
from vit.data.core.sources import FileSource
from vit.runs.splits import Splits

NAMED = 3  # samples of one sort that are spelt out


def splits_of(data: SampleData) -> Splits:
    """Files by their path under the data's root, texts by their row, the rest by their number."""
    contents = data.contents
    sources: dict[str, str] = {}
    members: dict[str, list[bytes] | list[int]] = {}
    named_by = "row" if data.unit == "text" else "index"
    for split, (name, positions) in data.splits.items():
        source = contents.sources[name]
        sources[split] = name
        if isinstance(source, FileSource):
            named_by = "file"
            members[split] = source.names[positions].tolist()
        else:
            members[split] = (positions + _first(source)).tolist()
    return Splits(data.unit, named_by, sources, members)


def positions_of(data: SampleData, splits: Splits, split: str) -> tuple[Any, np.ndarray]:
    """The source of a split's samples, and where they stand in it now.

    Raises ValueError that says which are not there any more.
    """
    sources, name = data.contents.sources, splits.sources[split]
    wanted = splits.members[split]
    if name not in sources:
        raise ValueError(f"the data have no {name!r} part any more, which {split} is from")
    source = sources[name]
    if splits.named_by == "file" and isinstance(source, FileSource):
        known = {file: position for position, file in enumerate(source.names.tolist())}
        found = [known.get(file, -1) for file in wanted]
    else:
        found = [number - _first(source) for number in wanted]  # type: ignore[operator]
    positions = np.array(found, dtype=np.int64)
    gone = np.flatnonzero((positions < 0) | (positions >= len(source)))
    if len(gone):
        first = wanted[int(gone[0])]
        first = first.decode(errors="replace") if isinstance(first, bytes) else first
        raise ValueError(
            f"{len(gone):,} of the {len(wanted):,} samples of {split} are not in the data any "
            f"more, such as {splits.named_by} {first}"
        )
    return source, positions


def changes(before: Splits, now: Splits) -> list[str]:
    """What came to the data and what went, by their parts: `1 more in train: cat/new.jpg`.

    Of a part from which val or test is set aside as a whole, since one sample more draws them anew.
    """
    lines = []
    for part in dict.fromkeys([*before.sources.values(), *now.sources.values()]):
        old, new = _of_part(before, part), _of_part(now, part)
        for more, lot in (("more", new.keys() - old.keys()), ("fewer", old.keys() - new.keys())):
            if lot:
                order = new if more == "more" else old
                names = [_as_text(name) for name in order if name in lot][:NAMED]
                rest = f" and {len(lot) - NAMED:,} others" if len(lot) > NAMED else ""
                lines.append(f"{len(lot):,} {more} in {part}: {', '.join(names)}{rest}")
        if not lines and (moved := sum(old[name] != split for name, split in new.items())):
            lines.append(f"{moved:,} of {part} are in another split than before")
    return lines or ["the same names, with other contents or labels"]


def _of_part(splits: Splits, part: str) -> dict[Any, str]:
    """Sample → split, of the samples that a part of the data gave."""
    of_part = [split for split, source in splits.sources.items() if source == part]
    return {name: split for split in of_part for name in splits.members[split]}


def _as_text(name: Any) -> str:
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


def _first(source: Any) -> int:
    """What the first sample of a source is counted as."""
    return getattr(source, "row", 0)
