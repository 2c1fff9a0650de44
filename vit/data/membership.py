"""Which sample is in which split, as names that a person and a later start can find again."""

from __future__ import annotations

from typing import Any

import numpy as np

from vit.data.samples import SampleData
from vit.data.sources import FileSource
from vit.runs.splits import Splits


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


def _first(source: Any) -> int:
    """What the first sample of a source is counted as."""
    return getattr(source, "row", 0)
