"""What a check says of one image that stands twice in data, whatever their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vit.data.same_files import Repeats, same_bytes, same_paths
from vit.data.sources import Source
from vit.faults import Fault

if TYPE_CHECKING:
    from vit.data.base import ImageData

SAYS_NOTHING = "a test on images that were trained on says nothing"


def repeated_images(data: ImageData, full: bool) -> list[Fault]:
    """Images that stand twice by their path, or in two splits by their bytes."""
    contents = data.contents
    faults = listed_twice(same_paths(contents.sources), contents.sources, contents.origin)
    return faults or copied_images(data, full)


def repeated_warnings(data: ImageData) -> list[str]:
    """Copies within a split, and in one that was set aside, where a check has looked."""
    if "same_bytes" not in vars(data):
        return []
    if not data.same_bytes.looked:
        many = sum(data.lengths.values())
        return [
            f"copies among the {many:,} {data.unit}s were not looked for, within splits and across "
            "them: vit check --full does"
        ]
    lines = [
        f"{_copies(data, one, other, pairs)}; of a split that is {why} they are told only."
        for (one, other), pairs in data.same_bytes.across.items()
        if (why := _whose(data, one, other))
    ]
    for split, pairs in data.same_bytes.within.items():
        told, named = _told_of_pairs(data, split, split, pairs)
        lines.append(
            f"{split}: {len(pairs)} {data.unit}s hold the same bytes as another of it{told}, such "
            f"as {named}."
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


def copied_images(data: ImageData, full: bool) -> list[Fault]:
    """A fault for each two splits of the data's own that hold images of the same bytes.

    Unless `full`, only where that costs little; `repeated_warnings` says where nobody looked.
    """
    known = vars(data).get("same_bytes")
    if known is None or (full and not known.looked):
        data.same_bytes = same_bytes(data.contents.sources, data.splits, sparing=not full)
    faults = []
    for (one, other), pairs in data.same_bytes.across.items():
        if not _whose(data, one, other):
            message = f"{_copies(data, one, other, pairs)}. Keep one of each."
            faults.append(Fault(data.contents.origin.get(other, "data"), message))
    return faults


def _whose(data: ImageData, one: str, other: str) -> str:
    """Why copies in two splits are nobody's to mend, in words; nothing where they are."""
    if data.splits[one][0] == data.splits[other][0]:
        return "set aside by chance"
    return "published so" if data.splits_are_published else ""


def _copies(data: ImageData, one: str, other: str, pairs: list[tuple[int, int]]) -> str:
    told, named = _told_of_pairs(data, one, other, pairs)
    return (
        f"{len(pairs)} {data.unit}s of {other} hold the same bytes as {data.unit}s of {one}{told}, "
        f"such as {named}; {SAYS_NOTHING}"
    )


def _told_of_pairs(
    data: ImageData, one: str, other: str, pairs: list[tuple[int, int]]
) -> tuple[str, str]:
    """How many copies have other classes than their like, and a copy by name, such a one if any."""
    of_one, of_other = (data.contents.sources[data.splits[split][0]] for split in (one, other))
    apart = [(a, b) for a, b in pairs if np.any(of_one.labels[a] != of_other.labels[b])]
    first, again = (apart or pairs)[0]
    named = f"{_named(of_other, again)}, a copy of {_named(of_one, first)}"
    if not apart:
        return "", named
    if of_one.labels.ndim == 1:
        names = data.contents.class_names
        classes = names[int(of_other.labels[again])], names[int(of_one.labels[first])]
        named += " ({!r} and {!r})".format(*classes)
    return f", {len(apart)} of them with another class", named


def _named(source: Source, position: int) -> str:
    return repr(source.name(position))
