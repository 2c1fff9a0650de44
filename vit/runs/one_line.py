"""Warnings of Python's, of whatever library, as one line of words."""

from __future__ import annotations

import warnings
from typing import Any


def in_one_line() -> Any:
    """From here on a warning is shown without the source of whoever called; returns how it was."""
    before = warnings.formatwarning
    warnings.formatwarning = _line
    return before


def _line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"{' '.join(str(message).split())} ({category.__name__}, {filename}:{lineno})\n"
