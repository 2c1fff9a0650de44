"""Which config files there are to choose from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vit.faults import Fault, did_you_mean

BASE = "not to be chosen by itself"  # in the comment at a file's head, where it names a class
PACKAGE = "# @package"
MOST_HOPS = 10  # from file to file

WHOLE = ("recipe", "experiment", "debug")  # groups that set anything, and are no part themselves


def choosable(folders: Iterable[Path], group: str, options: Iterable[str]) -> list[str]:
    """The options of a group that are choices, and not what choices are based on."""
    places = tuple(folders)
    return [option for option in sorted(options) if not is_base(places, group, option)]


def is_base(folders: tuple[Path, ...], group: str, option: str) -> bool:
    """Whether a file is but laid under, or over, others and names no whole part by itself.

    It has no `_target_`, its own or of a file that it is based on, where the parts of its group, or
    of the group above, have one; or the comment at its head says so.
    """
    path = _path(folders, group, option)
    if path is None or group.startswith("hydra"):
        return False
    if BASE in " ".join(_head(_text(path)).lower().split()):
        return True
    if _names_a_part(folders, group, option):
        return False
    if _text(path).startswith(PACKAGE):
        return False
    beside = [file for folder in folders for file in (folder / group).glob("*.yaml")]
    parts = any(_names_a_part(folders, group, file.stem) for file in beside)
    return parts or "/" in group


def _path(folders: Iterable[Path], group: str, option: str) -> Path | None:
    files = (folder / group / f"{option}.yaml" for folder in folders)
    try:
        return next((file for file in files if file.is_file()), None)
    except OSError:  # a name that no file can have
        return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _head(text: str) -> str:
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines)


def _names_a_part(
    folders: tuple[Path, ...], group: str, option: str, hops: int = MOST_HOPS
) -> bool:
    path = _path(folders, group, option)
    if path is None or not hops:
        return False
    if re.search(r"^_target_:", _text(path), re.MULTILINE):
        return True
    return any(
        _names_a_part(folders, *_place(group, base), hops - 1) for base in _bases(_text(path))
    )


def _place(group: str, base: str) -> tuple[str, str]:
    above, _, option = (base[1:] if base.startswith("/") else f"{group}/{base}").rpartition("/")
    return above, option


def _bases(text: str) -> list[str]:
    """The files that a file is laid over: `[auto, _self_]`, `- base`, `- frame/crop@_here_`."""
    found = re.search(r"^defaults:(.*(?:\n[ -].*)*)", text, re.MULTILINE)
    words = re.split(r"[\[\],\n]", found[1]) if found else []
    bases = (word.partition("#")[0].strip().removeprefix("- ").strip() for word in words)
    return [
        base.removesuffix("@_here_")
        for base in bases
        if base and base != "_self_" and ":" not in base
    ]


def those_with(folders: Iterable[Path], group: str) -> list[str]:
    """The choices of the group above in which one chooses of this one, themselves or by a base."""
    places = tuple(folders)
    above, _, leaf = group.rpartition("/")
    if not above:
        return []
    chooses = re.compile(rf"^ *- (?:optional )?{re.escape(leaf)}(?:@_here_)?:", re.MULTILINE)

    def has(place: str, option: str, hops: int = MOST_HOPS) -> bool:
        path = _path(places, place, option)
        if path is None or not hops:
            return False
        text = _text(path)
        if place == above and chooses.search(text):
            return True
        return any(has(*_place(place, base), hops - 1) for base in _bases(text))

    files = [file for folder in places for file in (folder / above).glob("*.yaml")]
    return choosable(places, above, {file.stem for file in files if has(above, file.stem)})


class Groups:
    """The options of config groups, from the shipped configs and from the folders beside them.

    Stands for Hydra's own loader, which looks for `glob(*)` in the first folder only.
    """

    def __init__(self, search_words: list[str], folders: Iterable[Path] = ()):
        self._search_words = search_words  # `hydra.searchpath=[…]`, or none
        self.folders = tuple(folders)

    def get_group_options(self, group_name: str, results_filter: Any = None) -> list[str]:
        from hydra.core.global_hydra import GlobalHydra

        loader = GlobalHydra.instance().config_loader()
        found = loader.get_group_options(group_name, results_filter, overrides=self._search_words)
        return [each for each in found if not is_base(self.folders, group_name, each)]

    def is_folder(self, group: str) -> bool:
        """Whether there are files of that group, be they choices or not."""
        return any((folder / group).is_dir() for folder in self.folders)

    def having(self, group: str) -> list[str]:
        """The choices of the group above that let one choose of this one: `head/pool` → linear."""
        return those_with(self.folders, group)

    def base_faults(self, chosen: Mapping[Any, Any]) -> list[Fault]:
        """Of the choices of a composition, those that are none."""
        from hydra.core.object_type import ObjectType

        faults = []
        for key, option in chosen.items():
            group = str(key)  # with an @ it is laid over a choice by a file that means to
            if "@" in group or not isinstance(option, str):
                continue
            if is_base(self.folders, group, option):
                known = self.get_group_options(group, ObjectType.CONFIG)
                message = (
                    "is what others are based on, and no choice by itself; there is "
                    f"{', '.join(known)}.{did_you_mean(option, known)}"
                )
                faults.append(Fault(f"{group}={option}", message))
        return faults
