"""Experiments with vision transformers whose answers you can trust."""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:  # `python -m vit` puts the current folder
    del sys.path[0]  # first, and whatever lies there would be imported instead of the real thing

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from vit.trained import load


def __getattr__(name: str) -> Any:
    """`vit.load` imports torch only when it is asked for: `vit --help` stays quick."""
    if name == "load":
        from vit.trained import load

        return load
    raise AttributeError(f"module 'vit' has no attribute {name!r}")
