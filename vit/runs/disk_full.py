"""A disk that is full, and what to say of it."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

SMALL_FILE = 64_000  # bytes


def full_disk(path: Path, written: int) -> OSError:
    """The error for a checkpoint of which `written` bytes found room."""
    free = shutil.disk_usage(path.parent).free
    before = f"The {path.name} before is as it was. " if path.exists() else ""
    return OSError(
        errno.ENOSPC,
        f"the disk is full: {path} could not be written, {written / 1e6:.1f} MB of it fitted. "
        f"{free / 1e6:.1f} MB are free. {before}Make room; the same command goes on",
    )


def is_full(path: Path) -> bool:
    """Whether there is no room left for even a small file, as far as the system tells."""
    try:
        return shutil.disk_usage(path).free < SMALL_FILE
    except OSError:
        return False


def disk_is_full(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        code = getattr(cause, "sqlite_errorcode", None)  # of a search's own storage
        if isinstance(cause, sqlite3.Error) and code == sqlite3.SQLITE_FULL:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
