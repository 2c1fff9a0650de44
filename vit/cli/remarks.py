"""The comments of config files, key by key: what they say of a setting."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?P<rest>.*)$")
# A `#` inside quotes is none; what a line of these files holds before one is short.
COMMENT = re.compile(r"""^(?:[^"'#]|"[^"]*"|'[^']*')*?\s#\s*(?P<text>.+)$""")
MOST_FILES = 50


@functools.cache
def remarks_of_file(path: Path) -> dict[str, str]:
    """Dotted key → the comment behind it; keys without one are left out."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not (match := KEY.match(line)):
            continue
        indent = len(match["indent"])
        above = [each for each in above if each[0] < indent]
        above.append((indent, match["key"]))
        if said := COMMENT.match(match["rest"]):
            found[".".join(key for _, key in above)] = said["text"].strip()
    return found


def remarks(folders: Iterable[Path], group: str, option: str) -> dict[str, str]:
    """What the file of a choice, and the files that it is based on, say of their keys."""
    found: dict[str, str] = {}
    waiting, seen = [f"{group}/{option}"], set[str]()
    places = list(folders)
    while waiting and len(seen) < MOST_FILES:
        name = waiting.pop(0)
        path = next((f / f"{name}.yaml" for f in places if (f / f"{name}.yaml").is_file()), None)
        if name in seen or path is None:
            continue
        seen.add(name)
        for key, text in remarks_of_file(path).items():
            found.setdefault(key, text)
        waiting += [f"{name.rpartition('/')[0]}/{base}" for base in _bases(path)]
    return found


def _bases(path: Path) -> list[str]:
    """The files beside it that a file lays itself over: not those that it chooses for a key."""
    from omegaconf import OmegaConf

    listed = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    defaults = listed.get("defaults", []) if isinstance(listed, dict) else []
    return [
        each.removesuffix("@_here_")
        for each in defaults
        if isinstance(each, str) and each != "_self_" and "$" not in each
    ]
