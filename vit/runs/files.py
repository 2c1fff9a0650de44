"""The small files of a run or a sweep, which may come from anywhere: read in one way only.

A file counts where it lies inside of its folder, is a regular file of a sensible size, and holds
UTF-8 that is not nested without end. The folder itself may be reached through a link: which
folder is meant is the user's word, what lies in it is not.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from vit.faults import Fault, Refused
from vit.runs.shapes import Shape, misfit

MOST_BYTES = 64 << 20  # of JSON; a table of 1,000 classes by 1,000 takes 10
MOST_YAML_BYTES = 4 << 20
MOST_RECORD_BYTES = 4 << 30  # of what grows with a training
BLOCK = 1 << 20
DEEPEST = 100  # mappings and lists within one another
STAGED = re.compile(r"\..+\.([1-9]\d{0,9})\.[0-9a-f]{8}")  # as write_text names them
STAGED_SECONDS = 60.0
MOST_NODES = 1_000_000  # of YAML, with each alias counted as what it stands for
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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


def reading(path: Path, root: Path | None = None, most: int = MOST_BYTES) -> BinaryIO:
    """The file, opened for reading; `root` is the folder it must lie in, else the one it is in.

    Raises FileNotFoundError where there is none, and Refused where it leads out of `root`, is no
    regular file, is larger than `most` bytes or may not be read.
    """
    return open(_opened(path, root, most)[0], "rb")  # noqa: PTH123 - what was looked at is read


def _opened(path: Path, root: Path | None, most: int) -> tuple[int, int]:
    """The file's handle and size, where it may be read; raises as `reading` does."""
    try:
        if root is not None and path.parent != root:
            _require_inside(path.parent, root)
        try:
            handle = os.open(path, READ)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            _require_inside(path, root or path.parent)
            handle = os.open(os.path.realpath(path), READ)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, "there is none", str(path)) from error
    except OSError as error:
        raise _refused(path, _in_words(error)) from error
    told = os.fstat(handle)
    if problem := _not_a_file(told, most):
        os.close(handle)
        raise _refused(path, problem)
    return handle, told.st_size


def content(path: Path, root: Path | None = None, most: int = MOST_BYTES) -> bytes:
    """All of it; raises as `reading` does."""
    handle, size = _opened(path, root, most)
    try:
        told = os.read(handle, size + 1)
        while more := os.read(handle, BLOCK) if len(told) < most else b"":
            told += more  # it grew meanwhile, or the system gives large ones in parts
        return told
    except OSError as error:
        raise _refused(path, _in_words(error)) from error
    finally:
        os.close(handle)


def text(path: Path, root: Path | None = None, most: int = MOST_BYTES) -> str:
    """All of it as UTF-8; raises as `reading` does."""
    try:
        return content(path, root, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, f"is no text in UTF-8 (byte {error.start})") from error


def json_of(path: Path, shape: Shape | None = None, root: Path | None = None) -> Any:
    """The mapping in a JSON file, whose known keys have their types; None where there is no file.

    Raises Refused where it cannot be read, or is something else.
    """
    try:
        told_as = text(path, root)
    except FileNotFoundError:
        return None
    try:
        told = json.loads(told_as)
    except RecursionError as error:
        raise _refused(path, _too_deep()) from error
    except ValueError as error:
        reason = "is empty" if not told_as.strip() else f"is cut short or no JSON: {error}"
        raise _refused(path, reason) from error
    if told_as.count("[") + told_as.count("{") > DEEPEST and _is_deep(told):
        raise _refused(path, _too_deep())
    if not isinstance(told, dict):
        raise _refused(path, f"holds {_kind(told)}; wanted a mapping")
    if shape is not None and (problem := misfit(told, shape)):
        raise _refused(path, problem)
    return told


def read_json(
    path: Path, shape: Shape | None = None, root: Path | None = None
) -> dict[str, Any] | None:
    """The same, with None where it cannot be read either: for what has to go on without it."""
    with suppress(Refused):
        return json_of(path, shape, root)
    return None


def yaml_of(path: Path, root: Path | None = None) -> Any:
    """Plain values; raises FileNotFoundError, and Refused where it cannot be read."""
    import yaml  # here, since this module is imported before the current folder is off the path

    # It can be parsed by C or by Python, which takes ten times as long.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    told = text(path, root, MOST_YAML_BYTES)
    try:
        if problem := _problem_of_yaml(told, loader):
            raise _refused(path, problem)
        return yaml.load(told, loader)
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise _refused(path, f"is not YAML: {str(error) or type(error).__name__}") from error


def lines_of(path: Path, root: Path | None = None) -> list[bytes]:
    """The lines of a file that is appended to; the last may be cut off, as whoever parses it knows.

    No file is no line. Raises Refused where it cannot be read.
    """
    try:
        told = content(path, root, MOST_RECORD_BYTES)
    except FileNotFoundError:
        return []
    return told.split(b"\n")


def tail_of(path: Path, most_bytes: int, root: Path | None = None) -> list[str]:
    """The lines in the last bytes of a log; none where it cannot be read."""
    try:
        with reading(path, root, MOST_RECORD_BYTES) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - most_bytes, 0))
            return file.read().decode(errors="replace").splitlines()
    except (OSError, Refused):
        return []


def appending(path: Path) -> BinaryIO:
    """The file, opened to be added to and made where there is none; never through a link.

    Raises Refused where it is a link or no regular file, OSError as the system does.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _refused(path, _in_words(error)) from error
        raise
    if problem := _not_a_file(os.fstat(handle), None):
        os.close(handle)
        raise _refused(path, problem)
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
        return [Fault(str(folder), told_of_link(folder, root))]
    with suppress(OSError):
        kind = folder.lstat().st_mode
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind) or stat.S_ISLNK(kind)):
            return [Fault(str(folder), f"is {SPECIAL.get(stat.S_IFMT(kind))}; wanted a file")]
    return [fault for entry in _entries(folder, deepest) for fault in _odd_entry(entry, root)]


def refuse_links(folder: Path, root: Path | None = None) -> None:
    """Raises Refused where `links_out` finds something."""
    if faults := links_out(folder, root):
        raise Refused(faults[:5])


def clear_leftovers(folder: Path) -> None:
    """Removes what processes of this machine left half-written in a folder when they were killed.

    `.NAME.PROCESS.TOKEN`, a minute old, of a process that is no more: another machine, whose
    processes cannot be asked about, is long done with its own by then.
    """
    for entry in _entries(folder, 1):
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


def told_of_kind(path: Path) -> str:
    """What a path that is no regular file is instead."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "nothing that is there"
    except OSError as error:
        return "a link to itself" if error.errno == errno.ELOOP else f"not there: {error.strerror}"
    return SPECIAL.get(kind, "a file")


def told_of_link(path: Path, root: Path) -> str:
    """What to say of a link that leads out of a run or a sweep."""
    return (
        f"is a link that leads out of {root}, to {os.path.realpath(path)}; nothing is read, "
        "written or removed through it. Put the files themselves there"
    )


def _entries(folder: Path, deepest: int) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        yield entry
        if deepest > 1 and entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), deepest - 1)


def _odd_entry(entry: os.DirEntry[str], root: Path) -> list[Fault]:
    if entry.is_symlink():
        passed = LOG_OF_WANDB.fullmatch(entry.path) or is_inside(Path(entry.path), root)
        return [] if passed else [Fault(entry.path, told_of_link(Path(entry.path), root))]
    if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
        return []
    kind = SPECIAL.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), "no file")
    return [Fault(entry.path, f"is {kind}; wanted a file")]


def _require_inside(path: Path, root: Path) -> None:
    if not is_inside(path, root):
        raise _refused(path, told_of_link(path, root))


def _not_a_file(told: os.stat_result, most: int | None) -> str | None:
    if not stat.S_ISREG(told.st_mode):
        return f"is {SPECIAL.get(stat.S_IFMT(told.st_mode), 'something else')}; wanted a file"
    if most is not None and told.st_size > most:
        return f"has {told.st_size / 1e6:,.0f} MB; read are {most / 1e6:,.0f} MB at most"
    return None


def _in_words(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a link; wanted a file"
    if error.errno == errno.EISDIR:
        return "is a folder; wanted a file"
    return f"cannot be read: {error.strerror}"


def _problem_of_yaml(told: str, loader: Any) -> str | None:
    """Bounds depth and size before anything is built: libyaml's own recursion ends in a crash.

    Aliases are counted as what they stand for, since whoever walks the values meets them so.
    """
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[list[Any]] = []  # the anchor and the nodes so far of each
    total = 0
    for event in yaml.parse(told, loader):
        count = 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append([event.anchor, 1])
            if len(open_nodes) > DEEPEST:
                return _too_deep()
            continue
        if isinstance(event, yaml.ScalarEvent):
            count = 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                return f"holds an alias of what is not there, or of itself: *{event.anchor}"
            count = sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, count = open_nodes.pop()
            if anchor:
                sizes[anchor] = count
        if open_nodes:
            open_nodes[-1][1] += count
        total = max(total, count)
        if total > MOST_NODES:
            return f"stands for more than {MOST_NODES:,} values, by aliases of aliases"
    return None


def _is_deep(told: Any) -> bool:
    level = [told] if isinstance(told, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _too_deep() -> str:
    return f"is nested deeper than {DEEPEST} levels"


def _kind(told: Any) -> str:
    return {list: "a list", str: "text", bool: "true or false", type(None): "nothing"}.get(
        type(told), "a number"
    )


def _refused(path: Path, message: str) -> Refused:
    return Refused([Fault(str(path), message)])
