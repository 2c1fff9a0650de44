"""Temporary files of a process, removed when it ends.

A forked child ends without the clean-up of an ordinary interpreter, and what it imports (timm,
wandb) makes folders that nobody would remove.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

COMPILED = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """For this process and all that it starts; what torch has compiled stays where it was."""
    if (kept := compiled_folder()) is not None:
        os.environ.setdefault(COMPILED, str(kept))
    folder = tempfile.mkdtemp(prefix="vit-")
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[1]
        shutil.rmtree(folder, ignore_errors=True)


def compiled_folder() -> Path | None:
    """Where torch keeps what it compiles (torch 2.14.1); None where the user has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, ImportError, OSError):
        return None
    name = re.sub(r'[\\/:*?"<>|]', "_", user)
    return Path(tempfile.gettempdir()) / f"torchinductor_{name}"


def remove_if_nothing_was_compiled() -> None:
    """torchvision's import makes that folder; an empty one is of no use to anybody."""
    folder = compiled_folder()
    if folder is not None and COMPILED not in os.environ:
        with suppress(OSError):
            folder.rmdir()  # fails where something lies in it
