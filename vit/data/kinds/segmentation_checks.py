"""What is wrong with class maps, said before training, and what marks them when they change."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vit.data.annotations.class_maps import BadMap, MappedFiles, NoClass, meanings
from vit.data.core.images import BadImage, image_size, stored_size
from vit.data.core.turned_images import turn_warnings, turned_apart, upright_size
from vit.data.kinds.checks import (
    HEADERS_READ,
    IMAGES_DECODED,
    SIZES_HASHED,
    evenly_spaced,
    file_size,
)
from vit.faults import NAMED, Fault, shorten
from vit.structures import IGNORED

APART = "masks that EXIF turns otherwise than their images"


def bad_maps(source: MappedFiles, origin: str, full: bool) -> tuple[list[Fault], set[int]]:
    """Maps that cannot be read, have values that are no class, or are of another size; and which
    classes, IGNORED among them, the others show.

    Decodes 256 maps and compares the sizes of 10,000, evenly spread, or of all where `full`.
    """
    positions = np.arange(len(source))
    decoded = set((positions if full else evenly_spaced(positions, IMAGES_DECODED)).tolist())
    sized = (positions if full else evenly_spaced(positions, HEADERS_READ)).tolist()
    shown = np.zeros(256, dtype=bool)

    def look(position: int) -> tuple[str, int, BadImage] | None:
        """The sort of fault, whose it is, and what is wrong with it."""
        path = source.mask_path(position)
        try:
            if position in decoded:
                shown[source.class_map(position).ravel()] = True
            size = image_size(path)
        except NoClass as fault:
            return "pixels of no class", position, fault
        except BadImage as fault:
            return "masks that cannot be read", position, fault
        try:
            upright, sort = upright_size(source.path(position), size)
            apart = turned_apart(source.path(position), path)
        except BadImage:
            return None  # the check of images tells it
        if apart:
            return APART, position, BadMap(apart)
        if sort != "wrong":
            return None
        sizes = f"{path} has {size[1]}×{size[0]}, {source.path(position)} {upright[1]}×{upright[0]}"
        return "masks of another size than their images (width × height)", position, BadMap(sizes)

    sorts: dict[str, list[tuple[str, BadImage]]] = {}
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for found in pool.map(look, sorted(decoded.union(sized))):
            if found:
                sort, position, fault = found
                name = source.mask_names[position].decode(errors="replace")
                sorts.setdefault(sort, []).append((name, fault))
    faults = [Fault(origin, f"{sort}: {_summary(bad)}") for sort, bad in sorts.items()]
    return faults, set(np.flatnonzero(shown).tolist())


def _summary(bad: list[tuple[str, BadImage]]) -> str:
    """One of each sort in full, the others by name, and what to do about them."""
    alike: dict[str, list[tuple[str, BadImage]]] = {}
    for name, fault in bad:
        what = type(fault).__name__ if isinstance(fault, NoClass) else str(fault).partition(": ")[2]
        alike.setdefault(what, []).append((name, fault))
    lines = []
    for (_, first), *others in list(alike.values())[:NAMED]:
        more = f"; likewise {shorten([name for name, _ in others])}" if others else ""
        lines.append(str(first).rstrip(".") + more)
    hints = dict.fromkeys(getattr(fault, "hint", "") for _, fault in bad)
    words = [f"{'; '.join(lines)} ({len(bad)} in all).", *[hint for hint in hints if hint][:2]]
    return " ".join(words)


def one_class(
    source: MappedFiles, seen: set[int], names: tuple[str, ...], origin: str
) -> list[Fault]:
    """Where nobody said anything of all pixels but those of one class, or of all."""
    classes = sorted(seen - {IGNORED})
    if IGNORED not in seen or len(classes) > 1:
        return []
    void = np.flatnonzero(source.meaning == IGNORED).tolist()
    values = [int(np.flatnonzero(source.meaning == number)[0]) for number in classes]
    left = f"all that is left is {names[classes[0]]!r}" if classes else "no class is left"
    hint = ""
    if source.colours is not None:
        message = f"the maps hold nothing but what is ignored and one class: {left}"
        return [Fault(origin, f"{message}, and nothing can be learnt.")]
    if classes and len(void) == 1:
        both = sorted([*values, *void])
        pairs = zip(both, names, strict=False)
        meanings = " and ".join(f"{value} is {name!r}" for value, name in pairs)
        hint = f" If {meanings}: data.class_values={str(both).replace(' ', '')}."
    message = (
        f"the maps hold {_listed(sorted([*values, *void]))} only, and {_listed(void)} "
        f"{'is' if len(void) == 1 else 'are'} where nobody said: {left}, and nothing can be "
        f"learnt.{hint}"
    )
    return [Fault(origin, message)]


def _listed(values: list[int]) -> str:
    *rest, last = map(str, values)
    return f"{', '.join(rest)} and {last}" if rest else last


def odd_turns(source: MappedFiles) -> list[str]:
    """What is said of images that EXIF turns; reads the headers of 10,000, evenly spread."""

    def look(position: int) -> tuple[str, str] | None:
        """The sort of oddity and the image."""
        try:
            # Most images are not turned, and need no look at their maps.
            if stored_size(source.path(position))[2] == 1:
                return None
            size = image_size(source.mask_path(position))
            sort = upright_size(source.path(position), size)[1]
            own = stored_size(source.mask_path(position))[2] != 1
        except BadImage:
            return None
        return (sort, source.name(position)) if sort and not own else None

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        looked_at = evenly_spaced(np.arange(len(source)), HEADERS_READ).tolist()
        found = [one for one in pool.map(look, looked_at) if one]
    sorts = {sort: [name for kind, name in found if kind == sort] for sort, _ in found}
    return turn_warnings(sorts, "masks")


def absent_classes(described: dict[str, Any]) -> list[str]:
    """A line for the classes that no map of train shows."""
    missing = [name for name, count in described["per_class"].items() if not count]
    if not missing or not described["maps_counted"]:
        return []
    return [
        f"none of {described['maps_counted']} training maps shows {', '.join(missing[:5])}"
        f"{f' and {len(missing) - 5} more classes' if len(missing) > 5 else ''}; what has no "
        "example is not learnt."
    ]


def add_maps(
    digest: hashlib.blake2b, source: MappedFiles, members: np.ndarray, num_classes: int
) -> None:
    """Adds the sizes of the maps' files, of 100,000 at most, and what their values mean."""
    some = evenly_spaced(members, SIZES_HASHED).tolist()
    sizes = [file_size(source.mask_path(position)) for position in some]
    first = source.meaning[0] == IGNORED and source.meaning[1] == 0
    digest.update(np.array([first, *sizes], dtype=np.int64).tobytes())
    # Beside what is usual: it came later, and older fingerprints are without it.
    usual = meanings(num_classes, zero_ignored=bool(first))
    if (source.meaning != usual).any():
        digest.update(source.meaning.tobytes())
    if source.colours is not None:
        digest.update(source.colours.tobytes())
