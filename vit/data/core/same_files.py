"""One image twice: files that are one by their path, and files of the same bytes.

By path it costs a listing of each folder and no look at any file, so a million are compared in
seconds: only what a listing shows to be a link is followed.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from stat import S_ISREG
from typing import TYPE_CHECKING

from vit.data.core.sources import ArrowSource, FileSource, Source
from vit.data.formats.plain_text import open_regular

if TYPE_CHECKING:
    import numpy as np

MOST_LINKS = 40  # in a chain; Linux follows as many
CHUNK = 1 << 20
PIECE, PIECES = 4096, 3  # bytes of a file that are compared first, and how many such pieces
AT_ONCE = 256  # files a task
# What a look that nobody asked for may cost: so many files, and so many bytes of likely copies.
MOST_FILES = 20_000
MOST_BYTES = 1 << 30


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
            pass  # that it is not there, the look at its images reports
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
    looked: bool = True  # whether anybody has


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
    sources: Mapping[str, Source],
    splits: Mapping[str, tuple[str, np.ndarray]],
    sparing: bool = False,
) -> Repeats:
    """Images whose stored bytes are the same, in the splits as they are trained and tested on.

    Positions are those in the split's source. Only of one size are files read, and all of a file
    only where a few pieces of it are another's. `sparing` looks at files alone, and at none where
    they are more than a check of seconds can read; `looked` then tells.
    """
    places: dict[str, tuple[FileSource | ArrowSource, list[int]]] = {}
    for split, (name, positions) in splits.items():
        found = sources[name]
        if isinstance(found, FileSource) or (isinstance(found, ArrowSource) and not sparing):
            places[split] = found, positions.tolist()
        elif isinstance(found, ArrowSource):
            return Repeats(looked=False)
    if sparing and sum(len(members) for _, members in places.values()) > MOST_FILES:
        return Repeats(looked=False)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        left = {split: (source, members) for split, (source, members) in places.items()}
        keys: dict[str, dict[int, object]] = {split: {} for split in places}
        left = _alike(left, keys, partial(_in_parts, pool, _size))
        left = _alike(left, keys, partial(_in_parts, pool, _pieces))
        if sparing and _total(left, keys) > MOST_BYTES:
            return Repeats(looked=False)
        left = _alike(left, keys, partial(_in_parts, pool, _digest))
    return repeats(
        {
            split: [(position, keys[split][position]) for position in members]
            for split, (_, members) in left.items()
        }
    )


Places = dict[str, tuple["FileSource | ArrowSource", list[int]]]


def _alike(
    places: Places,
    keys: dict[str, dict[int, object]],
    look: Callable[[FileSource | ArrowSource, list[int], dict[int, object]], list[object]],
) -> Places:
    """Those among them that share with another what `look` finds, which `keys` then tells.

    None is for what cannot be read: that the look at the image reports.
    """
    count: dict[object, int] = {}
    for split, (source, members) in places.items():
        found = look(source, members, keys[split])
        keys[split] = {at: key for at, key in zip(members, found, strict=True) if key is not None}
        for key in keys[split].values():
            count[key] = count.get(key, 0) + 1
    return {
        split: (source, [at for at in members if count.get(keys[split].get(at), 0) > 1])
        for split, (source, members) in places.items()
    }


def _total(places: Places, keys: dict[str, dict[int, object]]) -> int:
    """Bytes that are still to be read of files whose pieces were not all."""
    total = 0
    for split, (_, members) in places.items():
        sizes = [keys[split][at][0] for at in members]  # type: ignore[index]
        total += sum(size for size in sizes if size > PIECES * PIECE)
    return total


def _in_parts(
    pool: ThreadPoolExecutor,
    look: Callable[[FileSource | ArrowSource, int, object], object],
    source: FileSource | ArrowSource,
    members: list[int],
    keys: dict[int, object],
) -> list[object]:
    """What `look` finds of each; a task for each file would cost more than the look at it."""

    def some(part: list[int]) -> list[object]:
        found = []
        for position in part:
            try:
                found.append(look(source, position, keys.get(position)))
            except (OSError, ValueError):
                found.append(None)
        return found

    parts = [members[at : at + AT_ONCE] for at in range(0, len(members), AT_ONCE)]
    return [key for part in pool.map(some, parts) for key in part]


def _size(source: FileSource | ArrowSource, position: int, _: object) -> object:
    if isinstance(source, FileSource):
        status = os.stat(os.path.join(source.root, source.name(position)))  # noqa: PTH116,PTH118
        return status.st_size if S_ISREG(status.st_mode) and status.st_size else None
    return len(source.content(position)) or None


def _pieces(source: FileSource | ArrowSource, position: int, size: object) -> object:
    """The size, and a digest of first, middle and last piece: of a small file of all of it."""
    assert isinstance(size, int)
    found = hashlib.blake2b(digest_size=16)
    if isinstance(source, FileSource):
        with open_regular(source.path(position)) as stream:
            if size <= PIECES * PIECE:
                found.update(stream.read(size + 1))
            else:
                for at in (0, (size - PIECE) // 2, size - PIECE):
                    stream.seek(at)
                    found.update(stream.read(PIECE))
    else:
        found.update(source.content(position))
    return size, found.digest()


def _digest(source: FileSource | ArrowSource, position: int, key: object) -> object:
    assert isinstance(key, tuple)
    if isinstance(source, ArrowSource) or key[0] <= PIECES * PIECE:
        return key
    found = hashlib.blake2b(digest_size=16)
    with open_regular(source.path(position)) as stream:
        while some := stream.read(CHUNK):
            found.update(some)
    return found.digest()
