"""What is wrong with detection data, said before training, and a number that changes with them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, cast

import numpy as np

from vit.data.annotations import DetectionContents, MarkedSource
from vit.data.checks import (
    CONTENT_HASHED,
    SIZES_HASHED,
    bad_images,
    content,
    spread,
    stored_size,
    summed,
)
from vit.data.sources import Contents, FileSource
from vit.faults import Fault

if TYPE_CHECKING:
    from vit.data.detection import DetectionData


def data_faults(data: DetectionData, full: bool) -> list[Fault]:
    """Every fault that can be found without training; all images decoded where `full`."""
    try:
        contents = cast(DetectionContents, data.contents)
        _ = data.facts
        splits = data.splits
    except (ValueError, OSError) as fault:
        return [Fault("data", str(fault))]
    faults = list(contents.faults)
    for split, (_, members) in splits.items():
        if not len(members):
            origin = contents.origin.get(split, f"data.{split}_fraction")
            faults.append(Fault("data", f"{split} holds no image ({origin})."))
    if not faults and not data.describe()["train"]["objects"]:
        faults.append(Fault("data", "no training image holds any object."))
    if data.on_bad_image == "error":
        faults += summed(bad_images(data, full), full)
    return faults


def warnings(data: DetectionData) -> list[str]:
    """What is odd and can be trained on all the same, and what became of it."""
    return list(cast(DetectionContents, data.contents).warnings)


def require_sound(contents: Contents) -> None:
    """Raises ValueError with every fault of the annotations, where there are any."""
    faults = cast(DetectionContents, contents).faults
    if faults:
        raise ValueError("\n".join(str(fault) for fault in faults))


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
            digest.update(b"\0".join(source.names[members].tolist()))
            sizes = [stored_size(source, i) for i in spread(members, SIZES_HASHED).tolist()]
            digest.update(np.array(sizes, dtype=np.int64).tobytes())
        for position in spread(members, CONTENT_HASHED).tolist():
            digest.update(content(source, position))
    return digest.hexdigest()
