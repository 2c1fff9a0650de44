"""What is known of image files from earlier looks, so that each is looked at once.

One small database in the user's cache folder: path, size and time of change, how closely the file
was looked at, and what was wrong with it. Where it cannot be written, everything still works, and
is looked at again the next time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import PIL

from vit.data.core.images import BadImage, UnreachableImage, image_size, open_image

HEADER, DECODED = 1, 2  # how closely a file was looked at

_TABLE = """
create table if not exists images (
    path text primary key, size integer, changed integer, depth integer, fault text
) without rowid
"""


class _Seen(NamedTuple):
    path: str
    size: int
    changed: int  # nanoseconds
    depth: int
    fault: str


def cache_file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    # Another Pillow may read what this one does not.
    return Path(cache) / "vit" / f"images-pillow-{PIL.__version__}.sqlite"


def bad_files(paths: list[Path], depth: int) -> dict[Path, str]:
    """The files among `paths` that are no whole images, with what is wrong, at that depth.

    HEADER reads a header, DECODED all pixels. Files whose size and time of change are those of
    an earlier look at least as close are not opened.
    """
    stamps = {path: _stamp(path) for path in paths}
    keys = {path: _as_text(str(path.absolute())) for path in paths}
    known = _recall(list(keys.values()))
    found: dict[Path, str] = {}
    unseen: list[Path] = []
    for path, stamp in stamps.items():
        seen = known.get(keys[path])
        # A fault found in the header stays one when the pixels are asked for.
        if seen and (seen.size, seen.changed) == stamp and (seen.depth >= depth or seen.fault):
            if seen.fault:
                found[path] = seen.fault
        else:
            unseen.append(path)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        faults = list(pool.map(lambda path: _look(path, depth), unseen))
    found |= {path: str(fault) for path, fault in zip(unseen, faults, strict=True) if fault}
    _remember(
        _Seen(keys[path], *stamps[path], depth, _as_text(str(fault or "")))
        for path, fault in zip(unseen, faults, strict=True)
        if not isinstance(fault, UnreachableImage)
    )
    return found


def _as_text(name: str) -> str:
    """What a database can hold of names of files in other encodings than UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _look(path: Path, depth: int) -> BadImage | None:
    try:
        if depth == HEADER:
            image_size(path)
        else:
            open_image(path, channels=3)
    except BadImage as fault:
        return fault
    return None


def _recall(paths: list[str]) -> dict[str, _Seen]:
    try:
        with closing(_database()) as database:
            rows: list[tuple] = []
            for first in range(0, len(paths), 500):  # SQLite's limit on placeholders was 999
                some = paths[first : first + 500]
                marks = ",".join("?" * len(some))
                rows += database.execute(f"select * from images where path in ({marks})", some)
        return {row[0]: _Seen(*row) for row in rows}
    except (sqlite3.Error, OSError):
        return {}


def _remember(seen: Iterable[_Seen]) -> None:
    try:
        with closing(_database()) as database, database:
            database.executemany("insert or replace into images values (?, ?, ?, ?, ?)", seen)
    except (sqlite3.Error, OSError):
        pass


def _database() -> sqlite3.Connection:
    file = cache_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file, timeout=5)
    database.execute(_TABLE)
    return database
