"""What a person sees of a running sweep: a live board on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vit.console import PlainTable
from vit.console import console as plain_console

REFRESH_SECONDS = 0.25


@dataclass
class Progressing:
    """One running trial, as far as its record goes."""

    label: str
    done: float = 0.0  # part of its steps, 0 to 1
    seconds: float = 0.0  # since this attempt began
    text: str = ""  # epoch and metric; of a trial that waits why
    waits: bool = False  # in the queue of a cluster


@dataclass
class Status:
    """The sweep as it stands."""

    counts: dict[str, int]
    total: int | None
    running: list[Progressing] = field(default_factory=list)
    best: str = ""
    seconds_left: float | None = None
    stopping: bool = False


class Board:
    """Draws a Status; `say` prints a line that stays."""

    def __init__(self, title: str, console: Console | None = None):
        self._title = title
        self._console = console or plain_console()
        self._live: Live | None = None
        self._drawn = 0.0

    def __enter__(self) -> Board:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str, *, style: str = "") -> None:
        """A line that stays: what ended and how; on a terminal it scrolls above the board."""
        self._console.print(Text(line, style=style), soft_wrap=True)

    def show(self, status: Status, *, now: bool = False) -> None:
        if self._live is None or (not now and time.monotonic() - self._drawn < REFRESH_SECONDS):
            return
        self._drawn = time.monotonic()
        self._live.update(self._drawing(status), refresh=True)

    def _drawing(self, status: Status) -> Group:
        head = Text(self._title, style="bold")
        head.append(f"   {headline(status)}", style="not bold")
        table = PlainTable(show_header=False)
        for row in status.running:
            bar = "━" * round(16 * row.done)
            table.add_row(
                Text("waiting", style="yellow") if row.waits else Text("running", style="cyan"),
                Text(row.label),
                Text(f"{bar:<16} {row.done:4.0%}"),
                Text(clock(row.seconds)),
                Text(row.text),
            )
        parts: list[Text | PlainTable] = [head, table]
        if status.best:
            parts.append(Text(f"best so far  {status.best}", style="green"))
        if status.stopping:
            parts.append(Text("stopping: running trials save their checkpoints", style="yellow"))
        return Group(*parts)


def headline(status: Status) -> str:
    """`12 of 40 done, 3 running, 1 failed, 12:03 left`."""
    ended = sum(status.counts.get(state, 0) for state in ("done", "pruned", "failed"))
    parts = [f"{ended} of {status.total} ended" if status.total else f"{ended} ended"]
    for state in ("running", "waiting", "paused", "pruned", "failed"):
        if status.counts.get(state):
            parts.append(f"{status.counts[state]} {state}")
    if status.seconds_left is not None:
        parts.append(f"{clock(status.seconds_left)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """`0:42`, `12:05`, `3:02:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
