"""The console that tables, bars and boards are drawn by: their text steers no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
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


def console(**given: Any) -> PlainConsole:
    """On standard output; `given` goes to rich's Console."""
    stream = steerable(sys.stdout)
    found = PlainConsole(file=stream, highlight=False, **given)
    known = found.is_terminal or "COLUMNS" in os.environ
    return found if known else PlainConsole(file=stream, highlight=False, width=WIDTH, **given)
