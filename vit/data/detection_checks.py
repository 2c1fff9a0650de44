"""What is wrong with detection data, said before training, and a number that changes with them."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np

from vit.data.annotations import DetectionContents, MarkedSource
from vit.data.checks import (
    HEADERS_READ,
    add_samples,
    bad_images,
    empty_splits,
    reading_faults,
    spread,
    summed,
)
from vit.data.images import BadImage, other_size
from vit.data.same_images import copied_images
from vit.data.sources import FileSource
from vit.data.turned_images import turn_warnings, upright_size
from vit.faults import Fault

if TYPE_CHECKING:
    from vit.data.detection import DetectionData


def data_faults(data: DetectionData, full: bool) -> list[Fault]:
    """Every fault that can be found without training; all images decoded where `full`."""
    if unreadable := reading_faults(data):
        return unreadable
    contents = cast(DetectionContents, data.contents)
    faults = [*contents.faults, *empty_splits(data)]
    if not faults:
        faults += copied_images(data, full)
    told = {} if faults else data.describe()
    if told and not told["train"]["objects"]:
        faults.append(Fault("data", "no training image holds any object."))
    if "val" in told and not told["val"]["objects"]:
        message = "no image of val holds an object to be found, so nothing could be measured there."
        faults.append(Fault("data", message))
    if data.on_bad_image == "error":
        faults += summed(bad_images(data, full), full)
        for name, source in contents.sources.items():
            if isinstance(source, FileSource):
                wrong = image_sizes(cast(MarkedSource, source), full)[0]
                if wrong:
                    message = f"{len(wrong)} images have another size, such as {wrong[0]}"
                    faults.append(Fault(contents.origin[name], message))
    return faults


def warnings(data: DetectionData) -> list[str]:
    """What is odd and can be trained on all the same, and what became of it."""
    try:
        contents = cast(DetectionContents, data.contents)
    except (ValueError, OSError):
        return []  # a fault, told as such
    told: list[str] = []
    for name, source in contents.sources.items():
        if isinstance(source, FileSource):
            told += [
                f"{contents.origin[name]}: {line}"
                for line in image_sizes(cast(MarkedSource, source))[1]
            ]
    return told


def too_many_objects(data: DetectionData, num_queries: int) -> str | None:
    """A warning where images hold more objects than a detector has queries, or None.

    In training too: what has no query is not learnt, and in evaluation it cannot be found.
    """
    over = {split: data.most_objects(split) for split in data.splits}
    if data.mosaic:
        over["train"] = data.most_objects("train", images=4)
    most = max(over, key=lambda split: over[split])
    if over[most] <= num_queries:
        return None
    what = "a mosaic" if data.mosaic and most == "train" else "an image"
    return (
        f"{what} of {most} holds {over[most]} objects, more than the {num_queries} queries: some "
        "are never learnt or found. Take more queries."
    )


def image_sizes(source: MarkedSource, full: bool = False) -> tuple[list[str], list[str]]:
    """Images of another size than their annotations say, and what is odd about EXIF's turns.

    Reads the headers of 10,000 images, or of all where `full`; those that cannot be read are for
    another check.
    """
    assert isinstance(source, FileSource)
    positions = np.arange(len(source))
    if not full:
        positions = spread(positions, HEADERS_READ)

    def look(position: int) -> tuple[str, str] | None:
        """The sort of oddity and the image."""
        told = tuple(source.annotations.sizes[position].tolist())
        try:
            upright, sort = upright_size(source.path(position), told)
        except BadImage:
            return None
        if sort == "wrong":
            return sort, f"{source.path(position)}: {other_size(upright, told)}"
        return (sort, source.name(position)) if sort else None

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        found = [one for one in pool.map(look, positions.tolist()) if one]
    sorts = {sort: [name for kind, name in found if kind == sort] for sort, _ in found}
    odd = turn_warnings(sorts, "annotations")
    return sorts.get("wrong", []), odd


def fingerprint(data: DetectionData) -> str:
    """A number for the pictures, their objects and their splits, wherever they lie.

    All annotations of files count, the names and sizes of the files (of 100,000 a split at most),
    and the stored bytes of 256 a split, evenly spread. Paths above the data and times do not.
    """
    digest = hashlib.blake2b(digest_size=16)
    contents = data.contents
    told = [contents.class_names, contents.class_ids, data.masks]
    digest.update(json.dumps(told).encode())
    for split, (source_name, members) in sorted(data.splits.items()):
        source = cast(MarkedSource, contents.sources[source_name])
        digest.update(f"\0{split}\0{len(members)}\0".encode())
        digest.update(members.tobytes())
        if isinstance(source, FileSource):
            found = source.annotations
            for values in (found.labels, found.boxes_xyxy, found.crowd, found.areas, found.starts):
                digest.update(np.ascontiguousarray(values).tobytes())
            if found.segments is not None:
                digest.update(found.segments.text.tobytes())
        add_samples(digest, source, members)
    return digest.hexdigest()
