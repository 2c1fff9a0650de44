"""Warnings of Python's, of whatever library, as one line of words."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# Said to whoever writes code against a library, who is not the person at this screen.
TO_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)


def in_one_line() -> Any:
    """From here on a warning is shown without the source of whoever called; returns how it was."""
    before = warnings.formatwarning
    warnings.formatwarning = _line
    return before


@contextmanager
def warned_in_words() -> Iterator[None]:
    """Meanwhile a warning on the screen is one line, and what is for developers is left out.

    Python's own `-W` and PYTHONWARNINGS show all, as Python does.
    """
    if sys.warnoptions:
        yield
        return
    before, shown = in_one_line(), warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, TO_DEVELOPERS):
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = before
        if warnings.showwarning is show:
            warnings.showwarning = shown


def _line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return f"{' '.join(str(message).split())} ({category.__name__}, {filename}:{lineno})\n"
