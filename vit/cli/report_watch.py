"""vit report --watch on the screen: one line, and how it ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vit.review.report import Report
from vit.review.run import Runs
from vit.review.watch import Look, Watch
from vit.terminal import show_passing


def watch(
    sources: Sequence[str], out: Path, build: Callable[[Runs], Report], *, keep: bool
) -> Report:
    """Keeps the page fresh until nothing goes on, or Ctrl-C, and returns the last report.

    Raises Refused where nothing can be read to begin with, or the page cannot be written.
    """
    watching = Watch(sources, out, build)
    look: Look | None = None
    try:
        for look in watching.looks():
            if look.changed:
                _tell(look, out)
    except KeyboardInterrupt:
        if look is None:
            raise  # before the first page
    finally:
        watching.end(keep=keep)
    assert look is not None
    left = f"{look.running} of them still in training" if look.running else "more are planned"
    ending = f"watched no longer, {left}" if look.going_on else "none in training any more"
    print(f"{look.runs} run{'s'[: look.runs != 1]}, {ending}")
    return look.report


def _tell(look: Look, out: Path) -> None:
    """On a terminal over the line before; elsewhere a line each time."""
    count = f"{look.runs} run{'s'[: look.runs != 1]}, {look.running} running"
    line = f"{time.strftime('%H:%M:%S')}  {count}  {out}"
    if sys.stderr is not None and sys.stderr.isatty():
        show_passing(f"{line}  Ctrl-C ends")
    else:
        print(line, file=sys.stderr, flush=True)
