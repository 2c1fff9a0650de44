"""What a check says of one image that stands twice in data, whatever their kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vit.data.same_files import Repeats
from vit.data.sources import Contents, Source
from vit.faults import Fault

Splits = Mapping[str, tuple[str, np.ndarray]]  # see SampleData.splits
SAYS_NOTHING = "a test on images that were trained on says nothing"


def copied_warnings(contents: Contents, splits: Splits, found: Repeats) -> list[str]:
    """Copies within a split, and in one that was set aside."""
    lines = [
        f"{_copies(contents, splits, one, other, pairs)}; of a split that is set aside by chance "
        "they are told only."
        for (one, other), pairs in found.across.items()
        if splits[one][0] == splits[other][0]
    ]
    for split, pairs in found.within.items():
        source = contents.sources[splits[split][0]]
        other = sum(bool((source.labels[a] != source.labels[b]).any()) for a, b in pairs)
        told = f", {other} of them with another class" if other else ""
        lines.append(
            f"{split}: {len(pairs)} images hold the same bytes as another of it{told}, such as "
            f"{_named(source, pairs[0][1])}, a copy of {_named(source, pairs[0][0])}."
        )
    return lines


def listed_twice(
    found: Repeats, sources: Mapping[str, Source], origin: Mapping[str, str]
) -> list[Fault]:
    """A fault for each split, and each two of them, in which the path of an image comes again."""
    faults = []
    for split, pairs in found.within.items():
        first, again = (_named(sources[split], at) for at in pairs[0])
        other = f" (a second time as {again})" if again != first else ""
        message = (
            f"{len(pairs)} images have more than one row or entry, such as {first}{other}; "
            f"{SAYS_NOTHING}, and each lacks what the other entry says. Keep one of each, with all "
            "that is said of it (several labels of a table's row: data.separator)."
        )
        faults.append(Fault(origin.get(split, "data"), message))
    for (one, other), pairs in found.across.items():
        names = (
            f"{_named(sources[other], pairs[0][1])}, which is {_named(sources[one], pairs[0][0])}"
        )
        message = f"{len(pairs)} images are in {one} too, such as {names}; {SAYS_NOTHING}."
        faults.append(Fault(origin.get(other, "data"), message))
    return faults


def copied_images(contents: Contents, splits: Splits, found: Repeats) -> list[Fault]:
    """A fault for each two splits of the data's own that hold images of the same bytes."""
    faults = []
    for (one, other), pairs in found.across.items():
        if splits[one][0] != splits[other][0]:
            message = f"{_copies(contents, splits, one, other, pairs)}. Keep one of each."
            faults.append(Fault(contents.origin.get(other, "data"), message))
    return faults


def _copies(
    contents: Contents, splits: Splits, one: str, other: str, pairs: list[tuple[int, int]]
) -> str:
    first, again = (
        _named(contents.sources[splits[split][0]], at)
        for split, at in zip((one, other), pairs[0], strict=True)
    )
    return (
        f"{len(pairs)} images of {other} hold the same bytes as images of {one}, such as {again}, "
        f"a copy of {first}; {SAYS_NOTHING}"
    )


def _named(source: Source, position: int) -> str:
    return repr(source.name(position))
