"""Where Lightning and the libraries speak: into a run's log.txt, not between bar and table."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vit.runs.files import appending
from vit.runs.secrets import concealed


class Discreet(logging.Formatter):
    """Writes a record as it may be shown to others."""

    def __init__(self, hidden: Mapping[str, str]):
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        return concealed(super().format(record), self._hidden)


@contextmanager
def said_into(path: Path, rank: int, hidden: Mapping[str, str] | None = None) -> Iterator[None]:
    """Sends log records and warnings to a file; of ranks other than 0 only warnings and worse.

    Keys and passwords are blacked out, and what is `hidden` (value → name) told by its name.
    """
    with appending(path):  # never through a link
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(Discreet(hidden or {}))
    handler.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    logging.getLogger("vit").setLevel(logging.INFO)
    with silenced():
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
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
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches are tiny here
    warnings.filterwarnings("ignore", "The `srun` command is available")  # on any login node
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(nowhere)
