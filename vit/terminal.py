"""What reaches a terminal: letters, and never what would steer it.

Names, labels, logs and errors come from files of anybody. `vit` prints within `plain_streams`,
and draws tables and bars by `vit.console`; both show control characters as text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from typing import Any

# Beside C0, DEL and C1: what turns the direction of writing, ends a line, or is half a letter, as
# in names that are no UTF-8.
STEERING = (
    *((0x00, 0x1F), (0x7F, 0x9F), (0x061C, 0x061C), (0x200E, 0x200F), (0x2028, 0x202E)),
    *((0x2066, 0x206F), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F)),
)
LAID_OUT = "\n\t"


class _Shown(dict[int, str]):
    """Letter → what is shown; filled as letters come."""

    def __missing__(self, letter: int) -> str:
        steers = any(low <= letter <= high for low, high in STEERING)
        shown = chr(letter)
        if steers and shown not in LAID_OUT:
            shown = f"\\u{letter:04x}" if letter <= 0xFFFF else f"\\U{letter:08x}"
        self[letter] = shown
        return shown


_SHOWN = _Shown()


def printable(text: str) -> str:
    r"""The text with what would steer a terminal as `\u001b`, which JSON too reads as the same."""
    return text if text.isprintable() else text.translate(_SHOWN)


def one_line(text: str, most: int = 200) -> str:
    """The text in a single line, `printable`, and at most so many letters of it."""
    words = " ".join(printable(text[: 8 * most]).split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def in_html(text: str, most: int = 500) -> str:
    """The text as HTML shows it letter for letter; `printable`, and at most so many letters."""
    shown = printable(text[:most])
    return escape(shown if len(text) <= most else f"{shown}…")


_passing: list[Any] = []  # the terminal that shows a line which goes when anything follows


def show_passing(text: str) -> None:
    """Shows a line on the terminal until something else is printed; in pipes and files nothing."""
    stream = getattr(sys.stderr, "stream", sys.stderr)
    if stream is None or not stream.isatty() or os.environ.get("TERM") == "dumb":
        return
    end_passing()
    with suppress(OSError):  # the terminal may be gone
        stream.write(printable(text))
        stream.flush()
        _passing.append(stream)


def end_passing() -> None:
    """Takes the passing line away, where there is one."""
    if _passing:
        stream = _passing.pop()
        with suppress(OSError):
            stream.write("\r\x1b[2K")
            stream.flush()


class PlainStream:
    """A text stream whose every word is `printable`; all else is the stream's own."""

    def __init__(self, stream: Any):
        self.stream = stream

    def write(self, text: str) -> int:
        if text:
            end_passing()
        self.stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Whatever is printed meanwhile goes through a PlainStream."""
    before = sys.stdout, sys.stderr
    # One that the shell has closed is None, to which print says nothing.
    sys.stdout, sys.stderr = (stream and PlainStream(stream) for stream in before)
    try:
        yield
    finally:
        end_passing()
        sys.stdout, sys.stderr = before


def steerable(stream: Any) -> Any:
    """The stream beneath, for colours and bars of our own."""
    end_passing()
    return stream.stream if isinstance(stream, PlainStream) else stream
