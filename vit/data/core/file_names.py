"""Names of files as one array of bytes, just as the system has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

LONGEST = 4096  # bytes of a path, Linux's limit; one of a million would make all so wide


def expanded(path: str | Path) -> Path:
    """With the home of `~` and `~user`; one that nobody here has stays, and is then not there."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises for such a user


def stored(names: Sequence[str], where: str) -> np.ndarray:
    """Raises ValueError, with the row, for what can be no name of a file."""
    for row, name in enumerate(names, 1):
        if fault := name_fault(name):
            raise ValueError(f"{where}, row {row}: {name[:40]!r} {fault}.")
    return np.array([os.fsencode(name) for name in names], dtype=bytes)


def name_fault(name: str) -> str:
    """Why no file can be called so; nothing where one can."""
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return "has half a character (a lone surrogate), which no name of a file has"
    if "\0" in name:
        return "holds a zero byte, which no name of a file does"
    return f"is {length} bytes long; a path has {LONGEST} at most" if length > LONGEST else ""


def other_capitals(path: Path) -> str | None:
    """`im/000.jpg is there`, where what is asked for as `im/000.JPG` is not; None where none is."""
    missing: list[str] = []
    while not path.is_dir():
        if path.parent == path:
            return None
        missing.append(path.name)
        path = path.parent
    found = []
    for name in reversed(missing):
        try:
            there = _by_letters(path, path.stat().st_mtime_ns).get(name.casefold())
        except OSError:
            return None
        if there is None:
            return None
        found.append(there)
        path /= there
    return f"{'/'.join(found)} is there" if found else None


@lru_cache(maxsize=16)
def _by_letters(folder: Path, changed: int) -> dict[str, str]:
    """Whatever their capitals → the names in a folder, which is listed again once it `changed`."""
    return {entry.name.casefold(): entry.name for entry in sorted(folder.iterdir())}
