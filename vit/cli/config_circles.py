"""Config files whose `defaults` lead back to themselves, which Hydra follows without end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vit.faults import Fault

MOST_SHOWN = 8  # files of a circle


def circle_fault(folders: list[Path], config_name: str, words: list[str]) -> Fault | None:
    """Where composing has no end: which file takes itself in, by which way; None where none does.

    `folders` are looked through in this order, as Hydra does; `words` may choose further files.
    """
    chosen = [word.lstrip("+").partition("=") for word in words]
    begins = [config_name, *(f"{key.split('@')[0]}/{value}" for key, _, value in chosen if value)]
    known: dict[str, list[str]] = {}
    for name in begins:
        if circle := _circle(folders, name, known):
            file = _file(folders, circle[0])
            ways = circle if len(circle) <= MOST_SHOWN else [*circle[:3], "…", *circle[-3:]]
            message = f"takes itself in by its defaults: {' → '.join(ways)}"
            if "…" in ways:
                message += f" ({len(circle) - 1} files)"
            return Fault(str(file), f"{message}. Take one of these out of the list")
    return None


def _circle(folders: list[Path], begin: str, known: dict[str, list[str]]) -> list[str]:
    """The names of a circle, the first one again at its end; `known` are files without one."""
    way: list[str] = []
    open_: list[Iterator[str]] = []
    name: str | None = begin
    while True:
        if name is not None and name in way:
            return [*way[way.index(name) :], name]
        if name is not None and name not in known:
            way.append(name)
            open_.append(iter(known.setdefault(name, _taken_in(folders, name))))
        if not open_:
            return []
        if (name := next(open_[-1], None)) is None:
            open_.pop()
            way.pop()


def _taken_in(folders: list[Path], name: str) -> list[str]:
    """The names of the files in a file's list of `defaults`."""
    path = _file(folders, name)
    if path is None:
        return []
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []  # Hydra tells it
    entries = content.get("defaults") if isinstance(content, dict) else None
    group = name.rpartition("/")[0]
    return [child for entry in entries or [] for child in _named(entry, group)]


def _named(entry: Any, group: str) -> Iterator[str]:
    """`base`, `/data/base`, `augment: none`, `override /data: digits`, as Hydra reads them."""
    if isinstance(entry, str):
        if entry != "_self_":
            yield _place(entry, group)
    elif isinstance(entry, dict):
        for key, value in entry.items():
            for option in value if isinstance(value, list) else [value]:
                if isinstance(option, str):
                    yield f"{_place(str(key), group)}/{option.removesuffix('.yaml')}"


def _place(words: str, group: str) -> str:
    name = words.split()[-1] if words.strip() else words  # behind `optional`, `override`
    name = name.split("@")[0].removesuffix(".yaml")
    return name[1:] if name.startswith("/") else f"{group}/{name}" if group else name


def _file(folders: list[Path], name: str) -> Path | None:
    paths = (folder / f"{name}.yaml" for folder in folders)
    return next((path for path in paths if path.is_file()), None)
