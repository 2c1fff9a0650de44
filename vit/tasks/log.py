"""Where Lightning and the libraries speak: into a run's log.txt, not between bar and table."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from vit.runs.one_line import in_one_line
from vit.runs.secrets import concealed
from vit.runs.writing import appending
from vit.terminal import printable


class Discreet(logging.Formatter):
    """Writes a record as it may be shown to others."""

    def __init__(self, hidden: Mapping[str, str]):
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        return concealed(super().format(record), self._hidden)


class OnScreen(logging.Handler):
    """Warnings of ours for the person who waits, a line each; what ends a run its command tells."""

    def __init__(self, hidden: Mapping[str, str]):
        super().__init__(logging.WARNING)
        self._hidden = hidden
        self.addFilter(lambda record: record.levelno == logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        line = printable(concealed(record.getMessage(), self._hidden))
        with suppress(OSError, ValueError):  # nobody may be left who reads
            print(line, file=sys.stderr, flush=True)  # asked for anew: a bar puts its own there


@contextmanager
def said_into(path: Path, rank: int, hidden: Mapping[str, str] | None = None) -> Iterator[None]:
    """Sends log records and warnings to a file; of ranks other than 0 only warnings and worse.

    Warnings of our own reach the screen too, of rank 0.
    Keys and passwords are blacked out, and what is `hidden` (value → name) stands under its name.
    """
    with appending(path):  # never through a link
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(Discreet(hidden or {}))
    handler.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    logging.getLogger("vit").setLevel(logging.INFO)
    with silenced():
        root = logging.getLogger()
        own, screen = logging.getLogger("vit"), OnScreen(hidden or {})
        root.addHandler(handler)
        if rank == 0:
            own.addHandler(screen)
        try:
            yield
        finally:
            own.removeHandler(screen)
            root.removeHandler(handler)
            handler.close()


@contextmanager
def silenced() -> Iterator[None]:
    """Keeps Lightning's own words and all warnings off the terminal."""
    chatty = logging.getLogger("pytorch_lightning")
    for own in list(chatty.handlers):
        chatty.removeHandler(own)
    chatty.propagate = True
    logging.getLogger().addHandler(nowhere := logging.NullHandler())
    before = in_one_line()
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches are tiny here
    warnings.filterwarnings("ignore", "The `srun` command is available")  # on any login node
    try:
        yield
    finally:
        logging.captureWarnings(False)
        warnings.formatwarning = before
        logging.getLogger().removeHandler(nowhere)
