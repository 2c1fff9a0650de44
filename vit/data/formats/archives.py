"""What to say where an archive was named and a folder is wanted.

Files are read one at a time and in any order, which a compressed archive cannot give; so it is
unpacked once, by a command that the person sees.
"""

from __future__ import annotations

import lzma
import shlex
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")
LOOKED_AT = 5_000  # members; to read on would take as long as unpacking it


def is_archive(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES)


def unpacking(file: Path, key: str) -> str:
    """The command that unpacks an archive here, and the `key` of a config to set then."""
    name = next(file.name[: -len(end)] for end in _longest_first() if _ends(file, end))
    target = name or "unpacked"
    inside = only_folder(file)
    folder = shlex.quote(target if inside is None else f"{target}/{inside}")
    into, archive = shlex.quote(target), shlex.quote(str(file))
    command = f"mkdir -p {into} && tar xf {archive} -C {into}"
    if _ends(file, ".zip"):
        command = f"unzip -q {archive} -d {into}"
    return f"{command}\n    then {key}={folder}"


def only_folder(file: Path) -> str | None:
    """The folder that holds all of an archive; None where there is none, or nobody can tell."""
    tops: set[str] = set()
    deeper = False
    left = LOOKED_AT
    broken = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
    with suppress(*broken, OSError, EOFError):
        for name in _names(file):
            top, _, rest = name.removeprefix("./").strip("/").partition("/")
            if top not in ("", ".", "__MACOSX"):
                tops.add(top)
                deeper = deeper or bool(rest)
            left -= 1
            if len(tops) > 1 or not left:
                return None
    return tops.pop() if deeper else None


def _names(file: Path) -> Iterator[str]:
    if _ends(file, ".zip"):
        with zipfile.ZipFile(file) as archive:
            yield from archive.namelist()
        return
    with tarfile.open(file) as archive:
        for member in archive:
            yield member.name


def _longest_first() -> list[str]:
    return sorted(SUFFIXES, key=len, reverse=True)


def _ends(file: Path, end: str) -> bool:
    return file.name.lower().endswith(end)
