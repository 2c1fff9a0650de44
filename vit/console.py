"""The console that tables, bars and boards are drawn by: their text steers no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from vit.terminal import printable, steerable

WIDTH = 160  # where there is no terminal whose width one could know


class PlainConsole(Console):
    """rich's own, which shows control characters of any text as text: rich leaves ESC in."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        segments = super().render(renderable, options)
        if not isinstance(renderable, str | Text):  # tables and such render their texts in turn
            return segments
        return [
            segment
            if segment.control is not None or segment.text.isprintable()
            else Segment(printable(segment.text), segment.style)
            for segment in segments
        ]


class PlainTable(Table):
    """Columns two blanks apart, without rules, and no line of it ends in blanks.

    `given` goes to rich's Table.
    """

    def __init__(self, **given: Any):
        super().__init__(box=None, padding=(0, 2, 0, 0), **given)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        rendered = cast(Iterable[Segment], super().__rich_console__(console, options))
        for line in Segment.split_lines(rendered):
            yield from _without_trailing_blanks(line)
            yield Segment.line()


def _without_trailing_blanks(line: list[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    if kept:
        last = kept[-1]
        kept[-1] = Segment(last.text.rstrip(" "), last.style, last.control)
    return kept


def console(**given: Any) -> PlainConsole:
    """On standard output; `given` goes to rich's Console."""
    stream = steerable(sys.stdout)
    found = PlainConsole(file=stream, highlight=False, **given)
    known = found.is_terminal or "COLUMNS" in os.environ
    return found if known else PlainConsole(file=stream, highlight=False, width=WIDTH, **given)
