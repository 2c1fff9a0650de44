"""Temporary files of a process, removed when it ends.

A forked child ends without the clean-up of an ordinary interpreter, and what it imports (timm,
wandb) makes folders that nobody would remove.
"""

from __future__ import annotations

import atexit
import fcntl
import getpass
import multiprocessing.process
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import util
from pathlib import Path

from vit.faults import Fault, Refused

PREFIX = "vit-process-"
OLD_SECONDS = 60.0
COMPILED = "TORCHINDUCTOR_CACHE_DIR"
LONGEST_SOCKET = 107  # bytes of a Unix socket's path
# Of `/vit-process-abcd1234/pymp-abcd1234/listener-abcd1234`, which multiprocessing adds.
ROOM_OF_NAMES = 53
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """For this process and all that it starts; what torch has compiled stays where it was."""
    if Path(os.environ.get(COMPILED, "")).name.startswith(PREFIX):  # of its parent's imports
        del os.environ[COMPILED]
    shared = None
    if COMPILED not in os.environ and (kept := compiled_folder()) is not None:
        os.environ[COMPILED] = str(kept)
        shared = _held(kept)
    folder = tempfile.mkdtemp(prefix=PREFIX)
    held = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some network's folders know no locks
        fcntl.flock(held, fcntl.LOCK_SH)
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
        os.close(held)
        if shared is not None:
            os.close(shared)
            assert kept is not None
            _remove_if_unused(kept)


def give_sockets_room() -> None:
    """Where the folder of temporary files has a long path, multiprocessing's sockets lie elsewhere.

    A socket's name has 107 bytes, and a scheduler's TMPDIR may take most of them; multiprocessing
    (Python 3.11) then fails with "AF_UNIX path too long". Children inherit the folder that is noted
    here. Raises Refused where no other folder can be written.
    """
    noted = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    longest = len(os.fsencode(tempfile.gettempdir())) + ROOM_OF_NAMES
    if "tempdir" in noted or longest <= LONGEST_SOCKET:
        return
    for place in SHORT_FOLDERS:
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix="pymp-", dir=place)
            util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
            noted["tempdir"] = folder
            return
    message = (
        f"is {tempfile.gettempdir()}, and its {longest - ROOM_OF_NAMES} bytes leave no room for "
        f"the name of a socket there; wanted {LONGEST_SOCKET - ROOM_OF_NAMES} at most"
    )
    raise Refused([Fault("TMPDIR", message)])


def clear_temporary_folders() -> None:
    """Removes what killed processes of this user left: nobody holds the lock of such a folder.

    Not their numbers tell it, since containers may share the disk and count for themselves.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}????????"):
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                status = os.fstat(handle)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # One that is made just now is not locked yet.
                if status.st_uid == os.getuid() and time.time() - status.st_mtime > OLD_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def compiled_folder() -> Path | None:
    """Where torch keeps what it compiles (torch 2.14.1); None where the user has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, ImportError, OSError):
        return None
    name = re.sub(r'[\\/:*?"<>|]', "_", user)
    return Path(tempfile.gettempdir()) / f"torchinductor_{name}"


@contextmanager
def apart_from_the_compiled() -> Iterator[None]:
    """For the start of a process that only imports: what torch makes then is nobody else's.

    torch 2.14.1 makes its folder for what it compiles when it is imported, and where another
    process takes that away in the same moment its import fails. So it makes one of its own, which
    goes when this process ends; the one that all share is held by whoever trains: see `_held`.
    """
    if COMPILED in os.environ:
        yield
        return
    folder = tempfile.mkdtemp(prefix=PREFIX)
    held = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # as is the lock, let go by its end
    os.environ[COMPILED] = folder
    try:
        yield
    finally:
        del os.environ[COMPILED]


def remove_if_nothing_was_compiled() -> None:
    """torch's import makes that folder; an empty one that nobody uses is of no use to anybody."""
    folder = compiled_folder()
    if folder is not None and COMPILED not in os.environ:
        _remove_if_unused(folder)


def _held(folder: Path) -> int | None:
    """Makes the folder, and keeps others from removing it while the handle is open.

    None where that cannot be done: then nobody can remove it either.
    """
    with suppress(OSError):
        while True:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            try:
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # somebody removed it in this moment
            try:
                fcntl.flock(handle, fcntl.LOCK_SH)
                if folder.exists() and os.path.samestat(os.fstat(handle), folder.stat()):
                    return handle
            except OSError:
                os.close(handle)
                raise
            os.close(handle)
    return None


def _remove_if_unused(folder: Path) -> None:
    """Where it is empty, and no process of ours holds it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.rmdir()  # fails where something lies in it
        finally:
            os.close(handle)
