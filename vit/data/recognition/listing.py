"""Which files and folders lie in a folder: names alone, breadth first, up to fixed bounds."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vit.data.core.split_names import split_of

MOST_FILES = 300_000
MOST_FOLDERS = 20_000
DEEPEST = 8  # folders below the first
LINKS_LOOKED_AT = 200  # links to files that are followed, to see where they lead
IGNORED = ("__MACOSX", "thumbs.db", "desktop.ini")
OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")


@dataclass(frozen=True)
class Inside:
    """The names in one folder, sorted."""

    files: tuple[str, ...]
    folders: tuple[str, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def endings(self) -> Counter[str]:
        """How many files have each ending, in small letters."""
        return Counter(ending(name) for name in self.files)

    def having(self, endings: tuple[str, ...]) -> list[str]:
        return [name for name in self.files if name.lower().endswith(endings)]


@dataclass(eq=False)
class Listing:
    """Path from `root` with slashes ("" is root itself) → what lies there."""

    root: Path
    folders: dict[str, Inside]
    shown: str = ""  # how a person names the root
    cut: bool = False  # there is more than was listed
    unreadable: list[str] = field(default_factory=list)
    links_out: list[str] = field(default_factory=list)

    @property
    def top(self) -> Inside:
        return self.folders[""]

    def path(self, place: str, name: str = "") -> Path:
        return self.root / place / name

    def at(self, *places: str) -> str:
        """How a person names a place."""
        return "/".join([self.shown.rstrip("/") or "/", *(place for place in places if place)])

    def children(self, place: str) -> list[str]:
        """Paths of the folders in a folder, those that were not listed among them."""
        inside = self.folders.get(place)
        return [join(place, name) for name in inside.folders] if inside else []

    def below(self, place: str) -> Iterator[str]:
        """The paths of all listed folders from here down."""
        waiting = [place]
        while waiting:
            here = waiting.pop(0)
            if here in self.folders:
                yield here
                waiting += self.children(here)

    def number(self, place: str, endings: tuple[str, ...]) -> int:
        """How many files with such endings lie in a folder and those within."""
        counts = self._counts.get(place)
        return sum(counts[one] for one in endings) if counts else 0

    def some(self, place: str, endings: tuple[str, ...], most: int) -> list[Path]:
        """Some of them, evenly drawn from the folders and within each."""
        homes = [h for h in self.below(place) if any(self.folders[h].endings[e] for e in endings)]
        found: list[Path] = []
        for home in spread(homes, most):
            each = max(1, most // max(1, min(len(homes), most)))
            found += [self.path(home, n) for n in spread(self.folders[home].having(endings), each)]
        return found

    def under(self, place: str) -> Listing:
        """The same from one of its folders on."""
        skip = len(place) + 1
        inner = {
            path[skip:]: inside
            for path, inside in self.folders.items()
            if path == place or path.startswith(f"{place}/")
        }
        shown = self.at(place)
        return Listing(self.root / place, inner, shown, self.cut)

    @cached_property
    def every_name(self) -> frozenset[str]:
        """The names of all files, wherever they lie."""
        return frozenset(name for inside in self.folders.values() for name in inside.files)

    @cached_property
    def _counts(self) -> dict[str, Counter[str]]:
        counts = {place: Counter(inside.endings) for place, inside in self.folders.items()}
        for place in sorted(counts, key=lambda place: -place.count("/")):
            if place:
                counts[place.rpartition("/")[0]].update(counts[place])
        return counts


def listing_of(root: Path) -> Listing:
    """Raises OSError where the folder itself cannot be listed, or is one of the kernel's.

    Below /proc and /sys lie as many files as somebody cares to make up, and some that wait.
    """
    found = Listing(root, {}, str(root))
    real_root = os.path.realpath(root)
    if f"{real_root}/".startswith(OF_THE_KERNEL):
        raise OSError(errno.EINVAL, "is the system's own; wanted a folder of data", str(root))
    seen: set[tuple[int, int]] = set()
    waiting, number, links = [""], 0, 0
    for place in waiting:  # grows as folders are found
        if place.count("/") >= DEEPEST or len(found.folders) >= MOST_FOLDERS or number > MOST_FILES:
            found.cut = True
            break
        if f"{real_root.rstrip('/')}/{place}/".startswith(OF_THE_KERNEL):
            continue
        files: list[str] = []
        folders: list[str] = []
        here = root / place
        try:
            told = here.stat()
            if (told.st_dev, told.st_ino) in seen:
                continue  # a link to what is listed already
            with os.scandir(here) as entries:
                seen.add((told.st_dev, told.st_ino))
                for entry in entries:
                    if entry.name.startswith(".") or entry.name in IGNORED:
                        continue
                    number += 1
                    if number > MOST_FILES:
                        found.cut = True
                        break
                    linked = entry.is_symlink()
                    is_folder = _is_folder(entry)
                    (folders if is_folder else files).append(entry.name)
                    if linked and (is_folder or links < LINKS_LOOKED_AT):
                        links += not is_folder
                        target = os.path.realpath(entry.path)
                        if not f"{target}/".startswith(f"{real_root.rstrip('/')}/"):
                            found.links_out.append(join(place, entry.name))
                        if f"{target}/".startswith(OF_THE_KERNEL) and is_folder:
                            folders.pop()
        except OSError as fault:
            if not place:
                raise
            found.unreadable.append(f"{place} ({fault.strerror})")
            continue
        found.folders[place] = Inside(tuple(sorted(files)), tuple(sorted(folders)))
        waiting += [join(place, name) for name in sorted(folders)]
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def join(place: str, name: str) -> str:
    return f"{place}/{name}" if place and name else place or name


def inner_set(places: Iterable[str]) -> bool:
    """Whether all these places lie in one folder that is no split: a set of its own in there."""
    first = {place.partition("/")[0] for place in places}
    return len(first) == 1 and "" not in first and split_of(next(iter(first))) is None


def ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path each takes longer


def stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122


def spread(items: list, most: int) -> list:
    """At most so many of a list, evenly over it."""
    if len(items) <= most:
        return list(items)
    return [items[at * len(items) // most] for at in range(most)]
