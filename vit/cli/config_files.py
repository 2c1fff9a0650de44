"""A user's YAML files before Hydra reads them: a few hundred bytes can ask for all the memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vit.faults import Fault

MOST_FILES = 2_000  # looked at, those nearest to the folder first
MOST_BYTES = 1_000_000
MOST_VALUES = 100_000  # once every alias is written out
MOST_LEVELS = 50
PLAIN_INDENT = 100  # spaces; files that are no deeper, without aliases, need no second look


def bomb_faults(folder: Path) -> list[Fault]:
    """The files of a folder of configs that are larger, or deeper, than any config is."""
    faults = []
    for path in _files(folder):
        try:
            size = path.stat().st_size
            large = f"holds {size:,} bytes" if size > MOST_BYTES else None
            message = large or bomb_message(path.read_bytes())
        except OSError:
            continue  # Hydra says so, should it be asked for this one
        if message:
            faults.append(Fault(str(path), f"{message}; that is no config"))
    return faults


def _files(folder: Path) -> Iterator[Path]:
    count, folders = 0, [folder]
    while folders:
        below: list[Path] = []
        for each in folders:
            try:
                entries = sorted(each.iterdir())
            except OSError:
                continue
            for path in entries:
                if path.suffix == ".yaml" and path.is_file():
                    count += 1
                    yield path
                elif path.is_dir() and not path.is_symlink():
                    below.append(path)
                if count >= MOST_FILES or len(below) >= MOST_FILES:
                    return
        folders = below


def bomb_message(text: bytes) -> str | None:
    aliases = b"&" in text and b"*" in text
    brackets = text.count(b"[") + text.count(b"{") > MOST_LEVELS
    if not aliases and not brackets and b"\n" + b" " * PLAIN_INDENT not in text:
        return None
    try:
        return _size_of(text)
    except yaml.YAMLError:
        return None  # Hydra tells the line


def _size_of(text: bytes) -> str | None:
    """What is too much in a file; its values are counted, never made."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []  # anchor, and the values before it
    values = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, values))
            values += 1
            if len(open_) > MOST_LEVELS:
                return f"is nested more than {MOST_LEVELS} levels deep"
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                known[anchor] = values - before
        elif isinstance(event, yaml.AliasEvent):
            values += known.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
        if values > MOST_VALUES:
            return f"holds more than {MOST_VALUES:,} values once its aliases are written out"
    return None


REFERENCE = re.compile(r"\$\{([\w.@/-]+)\}")


def reference_faults(config: dict[Any, Any]) -> list[Fault]:
    """Keys of an unresolved config that would grow beyond measure, since each refers to others."""
    sizes: dict[str, int] = {}
    try:
        for key in config:
            if _resolved_size(config, str(key), sizes) > MOST_BYTES:
                return [Fault(str(key), f"refers to more than {MOST_BYTES:,} letters")]
    except RecursionError:
        return [Fault("config", "refers to itself, or from key to key without end")]
    return []


def _resolved_size(root: dict[Any, Any], path: str, sizes: dict[str, int]) -> int:
    if path not in sizes:
        sizes[path] = 0  # a circle: OmegaConf tells it
        sizes[path] = _size(root, path, _at(root, path), sizes)
    return sizes[path]


def _size(root: dict[Any, Any], path: str, value: Any, sizes: dict[str, int]) -> int:
    if isinstance(value, dict):
        return 1 + sum(_size(root, f"{path}.{key}", item, sizes) for key, item in value.items())
    if isinstance(value, list):
        return 1 + sum(_size(root, f"{path}.{at}", item, sizes) for at, item in enumerate(value))
    if not isinstance(value, str) or "${" not in value:
        return len(value) if isinstance(value, str) else 1
    names = (_absolute(path, name) for name in REFERENCE.findall(value))
    return len(value) + sum(_resolved_size(root, name, sizes) for name in names)


def _absolute(path: str, name: str) -> str:
    """`..lr` as seen from `optim.extra.x` is `optim.lr`."""
    dots = len(name) - len(name.lstrip("."))
    return ".".join([*path.split(".")[:-dots], name.lstrip(".")]) if dots else name


def _at(node: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict):
            node = node.get(part)
        else:
            return None
    return node
