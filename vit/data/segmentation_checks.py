"""What is wrong with segmentation data, told before training, and a number that marks them."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np

from vit.data.checks import (
    HEADERS_READ,
    IMAGES_DECODED,
    SIZES_HASHED,
    add_samples,
    bad_images,
    spread,
    summed,
)
from vit.data.class_maps import MappedFiles, NoClass, SegmentationContents
from vit.data.images import BadImage, stored_size
from vit.data.published import Bad
from vit.faults import Fault

if TYPE_CHECKING:
    from vit.data.segmentation import SegmentationData


def data_faults(data: SegmentationData, full: bool) -> list[Fault]:
    """Every fault that can be found without training; all images and maps decoded where `full`."""
    try:
        contents = cast(SegmentationContents, data.contents)
        facts, splits = data.facts, data.splits
    except (ValueError, OSError) as fault:
        return [Fault("data", str(fault))]
    faults = list(contents.faults)
    if facts.num_classes < 2:
        faults.append(Fault("data", f"only one class, {facts.class_names[0]!r}; wanted two."))
    for split, (_, members) in splits.items():
        if not len(members):
            origin = contents.origin.get(split, f"data.{split}_fraction")
            faults.append(Fault("data", f"{split} holds no image ({origin})."))
    if contents.faults or data.on_bad_image == "skip":
        return faults  # what lacks its map is told; looking for it again would only repeat that
    faults += summed(bad_images(data, full), full)
    for name, source in contents.sources.items():
        if isinstance(source, MappedFiles):
            faults += bad_maps(source, contents.origin[name], full)
    return faults


def bad_maps(source: MappedFiles, origin: str, full: bool) -> list[Fault]:
    """Maps that cannot be read, have values that are no class, or are of another size.

    Decodes 256 maps and compares the sizes of 10,000, evenly spread, or of all where `full`.
    """
    positions = np.arange(len(source))
    decoded = set((positions if full else spread(positions, IMAGES_DECODED)).tolist())
    sized = (positions if full else spread(positions, HEADERS_READ)).tolist()

    def look(position: int) -> tuple[str, str] | None:
        """The sort of fault and the file."""
        path = source.mask_path(position)
        try:
            if position in decoded:
                source.class_map(position)
            size = stored_size(path)[:2]
        except NoClass as fault:
            return "pixels of no class", str(fault).rstrip(".")
        except BadImage as fault:
            return "masks that cannot be read", str(fault).rstrip(".")
        try:
            height, width, orientation = stored_size(source.path(position))
        except BadImage:
            return None  # the check of images tells it
        upright = (width, height) if orientation >= 5 else (height, width)
        if size in (upright, (height, width)):
            return None
        told = f"{path} has {size[1]}×{size[0]}, {source.path(position)} {upright[1]}×{upright[0]}"
        return "masks of another size than their images (width × height)", told

    bad = Bad()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for found in pool.map(look, sorted(decoded.union(sized))):
            if found:
                bad.add(*found)
    return bad.faults(origin)


def warnings(data: SegmentationData) -> list[str]:
    """What is odd in the maps and can be trained on all the same, and what became of it."""
    try:
        told = data.describe()["train"]
    except (ValueError, OSError):
        return []  # a fault, told as such
    missing = [name for name, count in told["per_class"].items() if not count]
    if not missing or not told["maps_counted"]:
        return []
    return [
        f"none of {told['maps_counted']} training maps shows {', '.join(missing[:5])}"
        f"{f' and {len(missing) - 5} more classes' if len(missing) > 5 else ''}; what has no "
        "example is not learnt."
    ]


def fingerprint(data: SegmentationData) -> str:
    """A number for the pictures, their maps and their splits, wherever they lie.

    The names and sizes of the files count (of 100,000 a split at most), and the stored bytes of
    256 images and their maps a split, evenly spread. Paths above the data and times do not.
    """
    digest = hashlib.blake2b(digest_size=16)
    contents = data.contents
    digest.update(json.dumps(contents.class_names).encode())
    for split, (source_name, members) in sorted(data.splits.items()):
        source = contents.sources[source_name]
        digest.update(f"\0{split}\0{len(members)}\0".encode())
        digest.update(members.tobytes())
        add_samples(digest, source, members)
        if isinstance(source, MappedFiles):
            some = spread(members, SIZES_HASHED).tolist()
            sizes = [_file_size(source, position) for position in some]
            digest.update(np.array([source.zero_ignored, *sizes], dtype=np.int64).tobytes())
    return digest.hexdigest()


def _file_size(source: MappedFiles, position: int) -> int:
    try:
        return source.mask_path(position).stat().st_size
    except OSError:
        return -1
