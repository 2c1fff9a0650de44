"""One image twice: files that are one by their path, and files of the same bytes.

By path it costs a listing of each folder and no look at any file, so a million are told apart in
seconds: only what a listing shows to be a link is followed.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vit.data.plain_text import open_regular
from vit.data.sources import ArrowSource, FileSource, Source

if TYPE_CHECKING:
    import numpy as np

MOST_LINKS = 40  # in a chain; Linux follows as many
CHUNK = 1 << 20


@dataclass
class _Listing:
    real: str
    links: frozenset[str]
    any_case: bool  # A.jpg and a.jpg are one file here


class RealPaths:
    """Where files really lie, with links resolved; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, _Listing] = {}

    def of(self, path: str) -> str:
        """One text for one file, whatever way leads there; the file need not exist."""
        for _ in range(MOST_LINKS):
            folder, name = os.path.split(path)
            here = self._folders.get(folder) or self._listed(folder)
            if name in ("", ".", ".."):
                return os.path.realpath(path)
            if name not in here.links:
                break
            path = os.path.join(here.real, os.readlink(f"{here.real}/{name}"))  # noqa: PTH118,PTH115 - a million
        if here.any_case:
            name = unicodedata.normalize("NFC", name).casefold()
        return f"{here.real}/{name}"

    def _listed(self, folder: str) -> _Listing:
        real = os.path.realpath(folder)
        links: list[str] = []
        names: list[str] = []
        try:
            with os.scandir(real) as entries:
                for entry in entries:
                    names.append(entry.name)
                    if entry.is_symlink():
                        links.append(entry.name)
        except OSError:
            pass  # that it is not there is told by the look at its images
        found = _Listing(real, frozenset(links), _any_case(real, names))
        self._folders[folder] = found
        return found


def _any_case(folder: str, names: Sequence[str]) -> bool:
    """Whether the file system takes capitals and small letters for the same."""
    probe = next((name for name in names if name.swapcase() != name), None)
    if probe is None or probe.swapcase() in names:
        return False
    return os.path.lexists(f"{folder}/{probe.swapcase()}")


@dataclass
class Repeats:
    """Pairs of positions that are one image: in one split, and in two."""

    within: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    across: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)


def repeats(keys: Mapping[str, Iterable[tuple[int, object]]]) -> Repeats:
    """Split → (position, key) of its samples: which have a key that came before."""
    found = Repeats()
    first: dict[object, tuple[str, int]] = {}
    for split, samples in keys.items():
        for position, key in samples:
            seen, at = first.setdefault(key, (split, position))
            if seen != split:
                found.across.setdefault((seen, split), []).append((at, position))
            elif at != position:
                found.within.setdefault(split, []).append((at, position))
    return found


def same_paths(sources: Mapping[str, Source]) -> Repeats:
    """Images of files that are listed twice, by whatever spelling of the path."""
    real = RealPaths()
    keys = {
        split: _real_paths(source, real)
        for split, source in sources.items()
        if isinstance(source, FileSource)
    }
    return repeats(keys)


def _real_paths(source: FileSource, real: RealPaths) -> Iterator[tuple[int, str]]:
    root = str(source.root)
    for position, name in enumerate(source.names.tolist()):
        yield position, real.of(os.path.join(root, os.fsdecode(name)))  # noqa: PTH118 - a million


def same_bytes(
    sources: Mapping[str, Source], splits: Mapping[str, tuple[str, np.ndarray]]
) -> Repeats:
    """Images whose stored bytes are the same, in the splits as they are trained and tested on.

    Positions are those in the split's source. Only of one size are files read.
    """
    places: dict[str, tuple[FileSource | ArrowSource, list[int]]] = {}
    for split, (name, positions) in splits.items():
        found = sources[name]
        if isinstance(found, FileSource | ArrowSource):
            places[split] = found, positions.tolist()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        sizes = {
            split: list(pool.map(_sizer(source), members))
            for split, (source, members) in places.items()
        }
        count: dict[int, int] = {}
        for some in sizes.values():
            for size in some:
                count[size] = count.get(size, 0) + 1
        keys: dict[str, list[tuple[int, object]]] = {}
        for split, (source, members) in places.items():
            alike = [
                position
                for position, size in zip(members, sizes[split], strict=True)
                if size > 0 and count[size] > 1
            ]
            digests = pool.map(_digester(source), alike)
            keys[split] = [
                (position, digest)
                for position, digest in zip(alike, digests, strict=True)
                if digest
            ]
    return repeats(keys)


def _sizer(source: FileSource | ArrowSource) -> Callable[[int], int]:
    def size(position: int) -> int:
        try:
            if isinstance(source, FileSource):
                return os.stat(source.path(position)).st_size  # noqa: PTH116
            return len(source.content(position))
        except (OSError, ValueError):
            return -1  # told by the look at the image

    return size


def _digester(source: FileSource | ArrowSource) -> Callable[[int], bytes]:
    def digest(position: int) -> bytes:
        found = hashlib.blake2b(digest_size=16)
        try:
            if isinstance(source, FileSource):
                with open_regular(source.path(position)) as stream:
                    while some := stream.read(CHUNK):
                        found.update(some)
            else:
                found.update(source.content(position))
        except (OSError, ValueError):
            return b""
        return found.digest()

    return digest
