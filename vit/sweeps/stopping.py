"""Why a sweep starts no more trials, as its exit code; and the signals that ask for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

DONE, FAILED, STOPPED, PREEMPTED = 0, 1, 130, 143


class Stopping:
    """The first reason counts; `code` is None while there is none."""

    def __init__(self) -> None:
        self.code: int | None = None
        self._times_by_hand = 0

    def __bool__(self) -> bool:
        return self.code is not None

    def stop(self, code: int) -> None:
        self.code = code if self.code is None else self.code

    @contextmanager
    def on_signals(self, kill: Callable[[], None]) -> Iterator[None]:
        """Once: running trials save and stop. Twice by hand: `kill` ends them at once."""

        def by_hand(number: int, frame: FrameType | None) -> None:
            self._times_by_hand += 1
            self.stop(STOPPED)
            if self._times_by_hand > 1:
                kill()

        def by_signal(number: int, frame: FrameType | None) -> None:
            self.stop(PREEMPTED)

        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, by_hand),
            signal.SIGTERM: signal.signal(signal.SIGTERM, by_signal),
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
