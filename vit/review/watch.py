"""A report that is kept fresh while runs go on: looks at their files, reads what has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vit.faults import Fault, Refused
from vit.review.cache import Cache, Signature
from vit.review.online import is_project
from vit.review.page import Follow, page
from vit.review.page_file import end_following, number_file, tell_number, write_page
from vit.review.report import Report
from vit.review.run import Run, Runs
from vit.review.sources import load
from vit.runs.claim import owner

LOOK_SECONDS = 2.0
SHARE = 0.1  # of one core that looking and writing may take in the long run
NUMBERS = 10_000_000  # after which they begin anew
MOST_FAILED = 15  # looks, one after the other, that found nothing or could not be written

Seen = tuple[list[dict[str, Signature]], list[tuple[Path, str]]]


@dataclass(frozen=True)
class Look:
    """What was found at one time."""

    report: Report
    runs: int
    running: int
    going_on: bool  # a run is in training, or a sweep will begin its next
    changed: bool


class Watch:
    """`build` makes the report of what was read; `out` is the page's file."""

    def __init__(self, sources: Sequence[str], out: Path, build: Callable[[Runs], Report]):
        if projects := [source for source in sources if is_project(source)]:
            message = "is a project of W&B; --watch follows folders on this machine's disks"
            raise Refused([Fault(projects[0], message)])
        self._sources, self._out, self._build = sources, out, build
        self._memory: dict[Path, Cache] = {}
        self._seen: Seen | None = None
        self._report: Report | None = None

    def looks(self, sleep: Callable[[float], None] | None = None) -> Iterator[Look]:
        """One after the other, until nothing goes on any more; the page is fresh at each.

        Twice nothing must go on: between two trials of a sweep, or while a file of the one run in
        training cannot be read, it may seem so. Raises Refused as `load` and `build` do, or where
        the page cannot be written, the first time; later what is there stays, since a run may be
        reading as half written for a moment, and it is raised where many looks have failed in a
        row: the folder is gone, or the disk is full.
        """
        ended, failed = False, MOST_FAILED
        while True:
            began = time.process_time()
            try:
                look = self._look()
            except Refused:
                failed += 1
                if failed > MOST_FAILED:
                    raise
                look = None
            else:
                failed = 0
            if look is not None:
                yield look
                if ended and not look.going_on:
                    return
                ended = not look.going_on
            (sleep or time.sleep)(max(LOOK_SECONDS, (time.process_time() - began) / SHARE))

    def end(self, *, keep: bool) -> None:
        """Writes the last page, which follows nothing, and takes away what lay beside it.

        With `keep` what was read is kept in the folders for the next report.
        """
        try:
            if self._report is not None:
                write_page(self._out, page(self._report))
        finally:
            end_following(self._out)
        for cache in self._memory.values() if keep else ():
            cache.save()

    def _look(self) -> Look:
        for cache in self._memory.values():
            cache.begin_again()
        loaded = load(self._sources, memory=self._memory)
        states = [(run.path, run.state) for run in loaded.runs]
        seen = [cache.signatures() for cache in self._memory.values()], states
        changed = self._report is None or seen != self._seen
        if self._report is None or changed:
            self._report = self._build(loaded)
            self._write(self._report)
            self._seen = seen
        running = sum(run.state == "running" for run in loaded.runs)
        going_on = running > 0 or _is_driven(loaded.runs)
        return Look(self._report, len(loaded.runs), running, going_on, changed)

    def _write(self, report: Report) -> None:
        number = int(time.time()) % NUMBERS
        follow = Follow(number_file(self._out).name, number)
        write_page(self._out, page(report, follow))
        tell_number(self._out, number)


def _is_driven(runs: list[Run]) -> bool:
    """Whether somebody runs a sweep that some of these wait in."""
    sweeps = {run.path.parent for run in runs if run.trial and run.state in ("planned", "paused")}
    return any(owner(sweep) is not None for sweep in sweeps)
