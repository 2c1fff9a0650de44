"""Experiments with vision transformers whose answers you can trust."""

import sys

TYPE_CHECKING = False  # as of `typing`, which might be imported from the current folder, too


def _is_the_command() -> bool:
    """Whether this is `python -m vit`, and no module of the user's that imports vit."""
    if sys.argv[:1] != ["-m"]:
        return False
    words = zip(sys.orig_argv[1:], [*sys.orig_argv[2:], ""], strict=True)
    # -m ends the interpreter's own words: -um vit, -mvit
    options = ((word, after) for word, after in words if word[:1] == "-" and word[1:2] not in "XW")
    named = (word.partition("m")[2] or after for word, after in options if "m" in word)
    return next(named, "").partition(".")[0] == "vit"


if _is_the_command() and not sys.flags.safe_path:  # `python -m` puts the current folder first,
    del sys.path[0]  # and whatever lies there would be imported instead of the real thing

from vit.version import __version__  # noqa: E402 - after the path is what it should be

__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from typing import Any

    from vit.trained import load


def __getattr__(name: str) -> "Any":
    """`vit.load` imports torch only when it is asked for: `vit --help` stays quick."""
    if name == "load":
        from vit.trained import load

        return load
    raise AttributeError(f"module 'vit' has no attribute {name!r}")
