"""What is wrong with data, said before training, and a number that changes when they do."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from typing import TYPE_CHECKING

import numpy as np

from vit.data.images import IN_OTHER_CAPITALS, BadImage, unreachable
from vit.data.label_checks import each_its_own
from vit.data.manifest import DECODED, HEADER, bad_files
from vit.data.same_images import repeated_images
from vit.data.sources import Contents, FileSource, Source
from vit.data.unsound import Unsound, faults_of
from vit.faults import Fault

if TYPE_CHECKING:
    from vit.data.base import ImageData
    from vit.data.classification import ClassificationData

HEADERS_READ = 10_000  # per split; opening one takes some 60 µs from a warm disk
IMAGES_DECODED = 256  # per split; a photo of 12 megapixels takes some 100 ms
CONTENT_HASHED = 256  # per split
SIZES_HASHED = 100_000  # per split
NAMED = 5  # faults of one sort that are spelt out


def data_faults(data: ClassificationData, full: bool) -> list[Fault]:
    """Every fault that can be found without training; all images decoded where `full`."""
    if unreadable := reading_faults(data):
        return [*_own_classes(data), *unreadable]
    facts = data.facts
    own = _own_classes(data)
    faults = [*data.contents.faults, *(own or _label_faults(data))]
    if len(facts.class_names) < 2 and not facts.multi_label:
        faults.append(
            Fault("data", f"only one class, {facts.class_names[0]!r}; wanted two or more.")
        )
    faults += [] if own else empty_splits(data)  # of such classes nothing can be set aside
    faults += repeated_images(data, full)
    if data.on_bad_image == "error":
        faults += summed(bad_images(data, full), full)
    else:
        faults += all_bad(data)
    return faults


def reading_faults(data: ImageData) -> list[Fault]:
    """Why there is nothing to look at closer, with all that had been found until then."""
    try:
        contents = data.contents
    except (ValueError, OSError) as fault:
        return faults_of(fault)
    try:
        _ = data.facts, data.splits
    except (ValueError, OSError) as fault:
        return [*contents.faults, *faults_of(fault)]
    return []


def empty_splits(data: ImageData) -> list[Fault]:
    """Splits without an image; of an empty train nothing can be set aside, which goes untold."""
    origin = data.contents.origin
    empty = [split for split, (_, members) in data.splits.items() if not len(members)]
    if "train" in empty:
        empty = [split for split in empty if split in data.contents.sources]
    return [
        Fault("data", f"{split} holds no image ({origin.get(split, f'data.{split}_fraction')}).")
        for split in empty
    ]


def all_bad(data: ImageData) -> list[Fault]:
    """Where bad images are left out and nothing would be left, as far as 32 of them tell."""
    source = data.contents.sources["train"]
    lines = []
    for position in spread(np.arange(len(source)), 32).tolist():
        try:
            source.read(position, channels=3)
        except BadImage as fault:
            lines.append(str(fault))
        else:
            return []
    return [Fault("data", f"not one of {len(lines)} images can be read: {lines[0]}")][: len(lines)]


def bad_images(data: ImageData, full: bool = False) -> list[str]:
    """What is wrong with images, one line each: of a sample of them, or of all where `full`."""
    found: list[str] = []
    for source_name, source in data.contents.sources.items():
        members = np.arange(len(source))
        found += _bad_in(source, members, full, source_name)
    return found


def _bad_in(source: Source, members: np.ndarray, full: bool, split: str) -> list[str]:
    decoded = members if full else spread(members, IMAGES_DECODED)
    if isinstance(source, FileSource) and source.pictures:
        found = bad_files([source.path(i) for i in decoded.tolist()], DECODED)
        if not full:
            paths = [source.path(i) for i in spread(members, HEADERS_READ).tolist()]
            found |= bad_files([path for path in paths if path not in found], HEADER)
        if not source.listed:  # a table only claims that its files exist
            paths = [source.path(i) for i in members.tolist()]
            absent = [path for path in paths if path not in found and not path.is_file()]
            gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            found |= {path: str(unreachable(str(path), path, gone)) for path in absent}
        return list(found.values())
    lines = []
    for position in decoded.tolist():
        try:
            source.read(position, channels=3)
        except BadImage as fault:
            lines.append(f"{split}, {fault}")
    return lines


def _own_classes(data: ClassificationData) -> list[Fault]:
    """Where each sample of train has a class of its own, whatever its images are like."""
    try:
        contents = data.contents
    except (ValueError, OSError):
        return []  # told elsewhere
    own = None if contents.multi_label else each_its_own(contents.sources["train"].labels)
    hint = data.own_classes_hint() if own else ""
    return [Fault("data", f"{own}.{hint or ' Is it the classes that are read?'}")] if own else []


def _label_faults(data: ClassificationData) -> list[Fault]:
    facts, faults = data.facts, []
    for split, (source, members) in data.splits.items():
        labels = data.contents.sources[source].labels[members]
        if facts.multi_label or not len(labels):
            continue
        wrong = (labels < 0) | (labels >= facts.num_classes)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            name = data.sample_name(split, first)
            faults.append(
                Fault(
                    "data",
                    f"{split}, {name}: label {labels[first]} is out of range; wanted 0 to "
                    f"{facts.num_classes - 1}. {int(wrong.sum())} labels are.",
                )
            )
    if not faults:
        counts = data.describe()["train"]["per_class"]
        missing = [name for name, count in counts.items() if count == 0]
        if missing:
            named = ", ".join(missing[:NAMED])
            message = f"no training image has the class {named}; "
            if data.train_limit is None:
                message += "if it is an empty folder, fill or remove it."
            else:
                message += f"data.train_limit={data.train_limit} may leave it out: take more."
            faults.append(Fault("data", message))
    return faults


def require_sound(contents: Contents) -> None:
    """Raises Unsound with every fault of the listing, where there are any."""
    if contents.faults:
        raise Unsound(contents.faults)


def summed(lines: list[str], full: bool) -> list[Fault]:
    other = [line for line in lines if line.endswith(IN_OTHER_CAPITALS)]
    if len(other) > 1:
        first = other[0].removesuffix(".")
        told = f"{len(other):,} files are there in other capitals alone, such as {first}."
        lines = [told, *(line for line in lines if not line.endswith(IN_OTHER_CAPITALS))]
    faults = [Fault("data", line) for line in lines[:NAMED]]
    if len(lines) > NAMED:
        faults.append(Fault("data", f"{len(lines) - NAMED} more images like these."))
    if faults:
        rest = "" if full else " (a sample was looked at; --full looks at all)"
        faults.append(
            Fault(
                "data.on_bad_image",
                f"mend or remove these images{rest}, or set it to skip to train without them.",
            )
        )
    return faults


def fingerprint(data: ClassificationData) -> str:
    """A number for the samples, their labels and their splits, wherever they lie.

    Names, labels and sizes of all images count (sizes of 100,000 a split at most), and the
    stored bytes of 256 a split, evenly spread. Paths above the data and times do not.
    """
    digest = hashlib.blake2b(digest_size=16)
    contents = data.contents
    digest.update(json.dumps([contents.class_names, contents.multi_label]).encode())
    for split, (source_name, members) in sorted(data.splits.items()):
        source = contents.sources[source_name]
        digest.update(f"\0{split}\0{len(members)}\0".encode())
        digest.update(np.ascontiguousarray(source.labels[members]).tobytes())
        add_samples(digest, source, members)
    return digest.hexdigest()


def add_samples(digest: hashlib.blake2b, source: Source, members: np.ndarray) -> None:
    """Adds the names and sizes of a split's files, and what some of its samples hold."""
    if isinstance(source, FileSource):
        digest.update(b"\0".join(source.names[members].tolist()))
        sizes = [file_size(source, i) for i in spread(members, SIZES_HASHED).tolist()]
        digest.update(np.array(sizes, dtype=np.int64).tobytes())
    for position in spread(members, CONTENT_HASHED).tolist():
        digest.update(content(source, position))


def file_size(source: FileSource, position: int) -> int:
    try:
        return source.path(position).stat().st_size
    except OSError:
        return -1


def content(source: Source, position: int) -> bytes:
    try:
        return source.content(position)
    except (OSError, BadImage):
        return b"unreadable"


def spread(members: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of them, evenly spread, the first and the last among them."""
    if len(members) <= count:
        return members
    return members[np.linspace(0, len(members) - 1, count).round().astype(np.int64)]
