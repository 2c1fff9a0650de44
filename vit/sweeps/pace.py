"""How long a sweep still takes, by what its trials took for their work so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

LATEST = 10  # ended trials that the pace is a mean of
FIRST_PART = 0.05  # of its steps, before which a running trial says nothing of its pace


@dataclass(frozen=True)
class Work:
    """A running trial: GFLOPs of its whole training, the part done, seconds since it began."""

    gflops: float
    part_done: float
    seconds: float


@dataclass
class Pace:
    """Seconds a GFLOP, of the trials that ended."""

    ended: list[float] = field(default_factory=list)

    def note(self, seconds: float | int | None, gflops: float | int | None) -> None:
        """Of a trial that ended, where both are known."""
        if seconds and gflops:
            self.ended.append(seconds / gflops)

    def seconds_left(self, running: Sequence[Work], waiting: int) -> float | None:
        """For the rest of those that run and as many that wait; None while nothing is known.

        Those that wait are taken to be as large as those that run, and to run as many at once.
        """
        paces = self.ended[-LATEST:] or [
            work.seconds / (work.part_done * work.gflops)
            for work in running
            if work.part_done > FIRST_PART and work.gflops
        ]
        if not paces:
            return None
        pace = sum(paces) / len(paces)
        begun = sum(work.gflops * (1 - work.part_done) for work in running)
        typical = sum(work.gflops for work in running) / len(running) if running else 0.0
        return pace * (begun + waiting * typical) / max(len(running), 1)
