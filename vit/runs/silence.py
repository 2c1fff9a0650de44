"""How long a file was not touched, in time that its watcher lived through."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LONGEST_TICK = 1.0  # seconds between two looks; of a longer gap the watcher itself slept the rest


class Silence:
    """Adds up seconds while a file stays as it is.

    Only what passed between two calls of `tick` counts, and no more than a second of it: on a
    laptop that slept, or after both were stopped, the watched one gets its whole time once more.
    No clock is compared with another's.
    """

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic):
        self._file = file
        self._now = now
        self._looked = now()
        self._touched = self._last_touch()
        self._seconds = 0.0

    def tick(self) -> None:
        """To be called several times a second."""
        now = self._now()
        self._seconds += min(now - self._looked, LONGEST_TICK)
        self._looked = now

    def seconds(self) -> float:
        """Since the file was last seen to be touched, or since this began."""
        touched = self._last_touch()
        if touched != self._touched:
            self._touched, self._seconds = touched, 0.0
        return self._seconds

    def _last_touch(self) -> int | None:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return None
