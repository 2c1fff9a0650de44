"""What is wrong with images, said before training, and what marks them when they change."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vit.data.core.images import IN_OTHER_CAPITALS, BadImage, unreachable
from vit.data.core.manifest import DECODED, HEADER, bad_files
from vit.data.core.sources import Contents, FileSource, Source
from vit.faults import NAMED, Fault

HEADERS_READ = 10_000  # per split; opening one takes some 60 µs from a warm disk
IMAGES_DECODED = 256  # per split; a photo of 12 megapixels takes some 100 ms
CONTENT_HASHED = 256  # per split
SIZES_HASHED = 100_000  # per split

Splits = Mapping[str, tuple[str, np.ndarray]]  # see SampleData.splits


def empty_splits(contents: Contents, splits: Splits) -> list[Fault]:
    """Splits without an image; of an empty train nothing can be set aside, which goes unsaid."""
    empty = [split for split, (_, members) in splits.items() if not len(members)]
    if "train" in empty:
        empty = [split for split in empty if split in contents.sources]
    origin = contents.origin
    return [
        Fault("data", f"{split} holds no image ({origin.get(split, f'data.{split}_fraction')}).")
        for split in empty
    ]


def all_bad(source: Source) -> list[Fault]:
    """Where bad images are left out and nothing would be left, as far as 32 of them tell."""
    lines = []
    for position in evenly_spaced(np.arange(len(source)), 32).tolist():
        try:
            source.read(position, channels=3)
        except BadImage as fault:
            lines.append(str(fault))
        else:
            return []
    return [Fault("data", f"not one of {len(lines)} images can be read: {lines[0]}")][: len(lines)]


def bad_images(sources: Mapping[str, Source], full: bool = False) -> list[str]:
    """What is wrong with images, one line each: of a sample of them, or of all where `full`."""
    found: list[str] = []
    for source_name, source in sources.items():
        members = np.arange(len(source))
        found += _bad_in(source, members, full, source_name)
    return found


def _bad_in(source: Source, members: np.ndarray, full: bool, split: str) -> list[str]:
    decoded = members if full else evenly_spaced(members, IMAGES_DECODED)
    if isinstance(source, FileSource) and source.pictures:
        found = bad_files([source.path(i) for i in decoded.tolist()], DECODED)
        if not full:
            paths = [source.path(i) for i in evenly_spaced(members, HEADERS_READ).tolist()]
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


def summarize_faults(lines: list[str], full: bool) -> list[Fault]:
    other = [line for line in lines if line.endswith(IN_OTHER_CAPITALS)]
    if len(other) > 1:
        first = other[0].removesuffix(".")
        summary = f"{len(other):,} files are there in other capitals alone, such as {first}."
        lines = [summary, *(line for line in lines if not line.endswith(IN_OTHER_CAPITALS))]
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


def add_samples(digest: hashlib.blake2b, source: Source, members: np.ndarray) -> None:
    """Adds the names and sizes of a split's files, and what some of its samples hold."""
    if isinstance(source, FileSource):
        digest.update(b"\0".join(source.names[members].tolist()))
        sizes = [file_size(source.path(i)) for i in evenly_spaced(members, SIZES_HASHED).tolist()]
        digest.update(np.array(sizes, dtype=np.int64).tobytes())
    for position in evenly_spaced(members, CONTENT_HASHED).tolist():
        digest.update(content(source, position))


def file_size(path: Path) -> int:
    """In bytes; -1 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def content(source: Source, position: int) -> bytes:
    try:
        return source.content(position)
    except (OSError, BadImage):
        return b"unreadable"


def evenly_spaced(members: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of them, evenly spread, the first and the last among them."""
    if len(members) <= count:
        return members
    return members[np.linspace(0, len(members) - 1, count).round().astype(np.int64)]
