"""Packages of the user's own that lie in the folder where the command was given.

That folder is on no path: whatever else lies there, under the name of a package that somebody
tries to import, is a stranger's. Only what the user has named is looked for there, after all that
is installed.
"""

from __future__ import annotations

import os
import os.path
import sys
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False  # imports nothing that might lie in that folder
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType
    from typing import Any


class OwnPackages:
    """Finds the packages of these names in this folder, and no others, for `sys.meta_path`.

    Not derived from importlib.abc, nor is there a Path here: importing those takes `vit --help` a
    fifth of its time.
    """

    def __init__(self, names: Iterable[str], folder: str):
        self.names = frozenset(names)
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and name in self.names:
            return PathFinder.find_spec(name, [self.folder], target)
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnPackages) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.names, self.folder))


def find_beside(allow_targets: Iterable[str]) -> None:
    """From now on these packages are found in the current folder, too."""
    install([OwnPackages((name.partition(".")[0] for name in allow_targets), os.getcwd())])  # noqa: PTH109


def installed() -> list[OwnPackages]:
    """What a worker process must be given, so that it finds what this one does."""
    return [finder for finder in sys.meta_path if isinstance(finder, OwnPackages)]


def install(finders: Iterable[Any]) -> None:
    for finder in finders:
        if finder not in sys.meta_path:
            sys.meta_path.append(finder)


def leave_current_folder() -> None:
    """Takes off the path what stands for the current folder, whatever that is.

    `python -m` puts it first, and so does a PYTHONPATH with an empty or relative part. A folder
    that the user has written out there stays, as does the one that this package lies in.
    """
    home = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    written = {part for part in parts if os.path.isabs(part)}  # noqa: PTH117
    here = {"", ".", os.getcwd()} - written - {home}  # noqa: PTH109
    sys.path[:] = [place for place in sys.path if place not in here]
