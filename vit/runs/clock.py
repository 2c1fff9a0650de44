"""How long a run has trained, over all its starts."""

from __future__ import annotations

import time
from collections.abc import Callable

from vit.runs.state import RunState, TrainedTime


class Clock:
    """The seconds that a run has trained, over all its starts, by some clock."""

    def __init__(self, before: float, now: Callable[[], float] = time.monotonic):
        self._before = before
        self._now = now
        self._started: float | None = None
        self._stopped: float | None = None

    def start(self) -> None:
        self._started = self._now()

    def stop(self) -> None:
        self._stopped = self._now()

    def seconds(self) -> float:
        if self._started is None:
            return self._before
        return self._before + (self._stopped or self._now()) - self._started


class Clocks:
    """Of the wall, and of this process's work on the CPU with all its threads."""

    def __init__(self, state: RunState):
        self.wall = Clock(float(state.train_seconds or 0.0))
        self.cpu = Clock(float(state.cpu_seconds or 0.0), time.process_time)

    def start(self) -> None:
        self.wall.start()
        self.cpu.start()

    def stop(self) -> None:
        self.wall.stop()
        self.cpu.stop()

    def seconds(self) -> TrainedTime:
        return {"train_seconds": self.wall.seconds(), "cpu_seconds": self.cpu.seconds()}
