"""A disk that is full, told in words."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path


def full_disk(path: Path, written: int) -> OSError:
    """The error for a checkpoint of which `written` bytes found room."""
    free = shutil.disk_usage(path.parent).free
    before = f"The {path.name} before is as it was. " if path.exists() else ""
    return OSError(
        errno.ENOSPC,
        f"the disk is full: {path} could not be written, {written / 1e6:.1f} MB of it fitted. "
        f"{free / 1e6:.1f} MB are free. {before}Make room; the same command goes on",
    )


def disk_is_full(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
