"""The small files of a run or a sweep, which may come from anywhere: read in one way only.

A file counts where it lies inside of its folder, is a regular file of a sensible size, and holds
UTF-8 that is not nested without end. The folder itself may be reached through a link: which
folder is meant is the user's word, what lies in it is not.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from vit.faults import Fault, Refused
from vit.runs.links import SPECIAL, is_inside, link_problem
from vit.runs.shapes import Shape, misfit

MOST_BYTES = 64 << 20  # of JSON; a table of 1,000 classes by 1,000 takes 10
MOST_YAML_BYTES = 4 << 20
MOST_RECORD_BYTES = 4 << 30  # of what grows with a training
BLOCK = 1 << 20
DEEPEST = 100  # mappings and lists within one another
MOST_NODES = 1_000_000  # of YAML, with each alias counted as what it stands for
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
        raise refused(path, in_words(error)) from error
    status = os.fstat(handle)
    if problem := not_a_file(status, most):
        os.close(handle)
        raise refused(path, problem)
    return handle, status.st_size


def content(path: Path, root: Path | None = None, most: int = MOST_BYTES) -> bytes:
    """All of it; raises as `reading` does."""
    handle, size = _opened(path, root, most)
    try:
        read = os.read(handle, size + 1)
        while more := os.read(handle, BLOCK) if len(read) < most else b"":
            read += more  # it grew meanwhile, or the system gives large ones in parts
        return read
    except OSError as error:
        raise refused(path, in_words(error)) from error
    finally:
        os.close(handle)


def text(path: Path, root: Path | None = None, most: int = MOST_BYTES) -> str:
    """All of it as UTF-8; raises as `reading` does."""
    try:
        return content(path, root, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise refused(path, f"is no text in UTF-8 (byte {error.start})") from error


def json_of(path: Path, shape: Shape | None = None, root: Path | None = None) -> Any:
    """The mapping in a JSON file, whose known keys have their types; None where there is no file.

    Raises Refused where it cannot be read, or is something else.
    """
    try:
        source = text(path, root)
    except FileNotFoundError:
        return None
    try:
        value = json.loads(source)
    except RecursionError as error:
        raise refused(path, _too_deep()) from error
    except ValueError as error:
        reason = "is empty" if not source.strip() else f"is cut short or no JSON: {error}"
        raise refused(path, reason) from error
    if source.count("[") + source.count("{") > DEEPEST and _is_deep(value):
        raise refused(path, _too_deep())
    if not isinstance(value, dict):
        raise refused(path, f"holds {_kind(value)}; wanted a mapping")
    if shape is not None and (problem := misfit(value, shape)):
        raise refused(path, problem)
    return value


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
    source = text(path, root, MOST_YAML_BYTES)
    try:
        if problem := _problem_of_yaml(source, loader):
            raise refused(path, problem)
        return yaml.load(source, loader)
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise refused(path, f"is not YAML: {str(error) or type(error).__name__}") from error


def lines_of(path: Path, root: Path | None = None) -> list[bytes]:
    """The lines of a file that is appended to; the last may be cut off, as whoever parses it knows.

    No file is no line. Raises Refused where it cannot be read.
    """
    try:
        whole = content(path, root, MOST_RECORD_BYTES)
    except FileNotFoundError:
        return []
    return whole.split(b"\n")


def tail_of(path: Path, most_bytes: int, root: Path | None = None) -> list[str]:
    """The lines in the last bytes of a log; none where it cannot be read."""
    try:
        with reading(path, root, MOST_RECORD_BYTES) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - most_bytes, 0))
            return file.read().decode(errors="replace").splitlines()
    except (OSError, Refused):
        return []


def _require_inside(path: Path, root: Path) -> None:
    if not is_inside(path, root):
        raise refused(path, link_problem(path, root))


def not_a_file(status: os.stat_result, most: int | None) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return f"is {SPECIAL.get(stat.S_IFMT(status.st_mode), 'something else')}; wanted a file"
    if most is not None and status.st_size > most:
        return f"has {status.st_size / 1e6:,.0f} MB; read are {most / 1e6:,.0f} MB at most"
    return None


def in_words(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a link; wanted a file"
    if error.errno == errno.EISDIR:
        return "is a folder; wanted a file"
    return f"cannot be read: {error.strerror}"


def _problem_of_yaml(source: str, loader: object) -> str | None:
    """Bounds depth and size before anything is built: libyaml's own recursion ends in a crash.

    Aliases are counted as what they stand for, since whoever walks the values meets them so.
    """
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[list[Any]] = []  # the anchor and the nodes so far of each
    total = 0
    for event in yaml.parse(source, loader):
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


def _is_deep(value: object) -> bool:
    level = [value] if isinstance(value, dict | list) else []
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


def _kind(value: object) -> str:
    return {list: "a list", str: "text", bool: "true or false", type(None): "nothing"}.get(
        type(value), "a number"
    )


def refused(path: Path, message: str) -> Refused:
    return Refused([Fault(str(path), message)])
