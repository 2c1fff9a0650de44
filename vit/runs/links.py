"""What in a folder leads out of it, or is no file: asked before anything is written there."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vit.faults import Fault, Refused

# W&B's links to its own logs, which nobody here reads and W&B itself only ever replaces. One of
# them is absolute: of a run that was moved it leads to where that was begun.
LOG_OF_WANDB = re.compile(
    r"(.*/)?wandb/(latest-run|debug(-internal|-core)?\.log"
    r"|(offline-)?run-\d{8}_\d{6}-[^/]+/logs/debug(-internal|-core)?\.log"
    r"|cache/wandb/logs/[^/]+\.log)"
)
SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path leads to a place in `root`, whatever links are on its way."""
    real, home = os.path.realpath(path), os.path.realpath(root)
    return real == home or real.startswith(home.rstrip(os.sep) + os.sep)


def links_out(folder: Path, root: Path | None = None, deepest: int = 8) -> list[Fault]:
    """What lies in a folder and leads out of `root` (the folder itself), or is no file at all.

    To be asked before something is written there: nobody's file elsewhere is written, shown or
    deleted through a link. W&B's links to its logs are passed over.
    """
    root = root or folder
    if not is_inside(folder, root):
        return [Fault(str(folder), link_problem(folder, root))]
    with suppress(OSError):
        kind = folder.lstat().st_mode
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
            return [Fault(str(folder), f"is {SPECIAL.get(stat.S_IFMT(kind))}; wanted a file")]
    return [fault for entry in entries_of(folder, deepest) for fault in _entry_faults(entry, root)]


def refuse_links(folder: Path, root: Path | None = None) -> None:
    """Raises Refused where `links_out` finds something."""
    if faults := links_out(folder, root):
        raise Refused(faults[:5])


def kind_of_path(path: Path) -> str:
    """What a path that is no regular file is instead."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "nothing that is there"
    except OSError as error:
        return "a link to itself" if error.errno == errno.ELOOP else f"not there: {error.strerror}"
    return SPECIAL.get(kind, "a file")


def link_problem(path: Path, root: Path) -> str:
    """What to say of a link that leads out of a run or a sweep."""
    return (
        f"is a link that leads out of {root}, to {os.path.realpath(path)}; nothing is read, "
        "written or removed through it. Put the files themselves there"
    )


def entries_of(folder: Path, deepest: int) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listed:
            entries = list(listed)
    except OSError:
        return
    for entry in entries:
        yield entry
        if deepest > 1 and entry.is_dir(follow_symlinks=False):
            yield from entries_of(Path(entry.path), deepest - 1)


def _entry_faults(entry: os.DirEntry[str], root: Path) -> list[Fault]:
    if entry.is_symlink():
        passed = LOG_OF_WANDB.fullmatch(entry.path) or is_inside(Path(entry.path), root)
        return [] if passed else [Fault(entry.path, link_problem(Path(entry.path), root))]
    if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
        return []
    kind = SPECIAL.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), "no file")
    return [Fault(entry.path, f"is {kind}; wanted a file")]
