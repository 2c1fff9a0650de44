"""Files written whole or not at all, and files that are added to, never through a link."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from vit.faults import Fault, Refused
from vit.runs.files import BLOCK, in_words, not_a_file, refused
from vit.runs.links import entries_of

STAGED = re.compile(r"\..+\.([1-9]\d{0,9})\.[0-9a-f]{8}")  # as write_text names them
STAGED_SECONDS = 60.0


def require_place(path: Path, endings: Sequence[str] = (), where: str = "--out") -> None:
    """Raises Refused where nothing new can be written as `path`, which the option `where` names.

    With `endings` it is to be a file with one of them, and no folder.
    """
    if endings and path.suffix not in endings:
        wanted = f"a name that ends in {' or '.join(endings)}"
        raise Refused([Fault(where, f"is {path}; wanted {wanted}")])
    parent = path.absolute().parent
    if not parent.is_dir():
        raise Refused([Fault(where, f"there is no folder {parent}")])
    if endings and path.is_dir():
        raise Refused([Fault(where, f"{path} is a folder; wanted the name of a file")])
    if not os.access(parent, os.W_OK):
        raise Refused([Fault(where, f"no permission to write in {parent}")])


def appending(path: Path) -> BinaryIO:
    """The file, opened to be added to and made where there is none; never through a link.

    Raises Refused where it is a link or no regular file, OSError as the system does.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise refused(path, in_words(error)) from error
        raise
    if problem := not_a_file(os.fstat(handle), None):
        os.close(handle)
        raise refused(path, problem)
    return open(handle, "ab+")  # noqa: PTH123


def drop_cut_line(path: Path) -> None:
    """Takes away what stands behind the last line break, as a kill within a write leaves it.

    For files that others append to, who would go on in the middle of that line. Nothing happens
    where there is no file; raises Refused as `appending` does.
    """
    if not os.path.lexists(path):
        return
    with appending(path) as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(end - BLOCK, 0)
            file.seek(start)
            if (at := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def clear_leftovers(folder: Path) -> None:
    """Removes what processes of this machine left half-written in a folder when they were killed.

    `.NAME.PROCESS.TOKEN`, a minute old, of a process that is no more: another machine, whose
    processes cannot be asked about, is long done with its own by then.
    """
    for entry in entries_of(folder, 1):
        staged = STAGED.fullmatch(entry.name)
        if staged is None or not entry.is_file(follow_symlinks=False):
            continue
        with suppress(OSError):
            age = time.time() - entry.stat(follow_symlinks=False).st_mtime
            if age > STAGED_SECONDS and not is_alive(int(staged[1])):
                Path(entry.path).unlink()


def is_alive(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_json(path: Path, content: Mapping[str, object] | Sequence[object]) -> None:
    write_text(path, json.dumps(content, indent=1, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """All of it or nothing: a reader never sees half a file, a crash leaves the old one."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same of what is no text."""
    # Containers that share the disk may share process ids as well.
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        staged.write_bytes(content)
        staged.replace(path)
    except OSError:  # a full disk, say
        staged.unlink(missing_ok=True)
        raise


def readable_as_usual(path: Path) -> None:
    """As readable by others as any new file or folder here.

    safetensors and `tempfile` leave what they make to its owner alone, which others who share the
    disk would only notice when they want it.
    """
    os.umask(mask := os.umask(0))  # there is no way to read it but to set it
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
