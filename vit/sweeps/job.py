"""A trial as a cluster's job: what runs on whatever machine the cluster gave."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from vit.runs import process
from vit.sweeps.trial import TrialOptions, Verdict, run_trial

# Between SIGTERM and SIGKILL; Slurm's own limits (GraceTime, KillWait) are seconds to minutes.
LONGEST_GRACE_SECONDS = 900.0

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class Job:
    """Called, it runs one trial to its end. Knows nothing of the driver but the trial's folder.

    `checkpoint` is what submitit calls when the job's time is over: the training saves and ends,
    and the job is queued again. A job that Slurm preempts gets SIGTERM and its grace time: the
    training saves and ends likewise, and the job waits to be taken away, since Slurm queues again
    only what it has ended itself. One that somebody cancels gets the same signal, and ends so.
    """

    def __init__(self, run_dir: str, orders: TrialOptions, handed: Mapping[str, str] | None = None):
        self._run_dir = run_dir
        self._orders = orders
        self._handed = dict(handed or {})  # see vit.runs.environment.handed_on
        self._thread: threading.Thread | None = None
        self._verdict: Verdict = "failed"
        self._leaving = False

    def __call__(self) -> Verdict:
        os.environ.update(self._handed)  # the process is this job's own
        warm_up_in_a_job()
        # A signal is answered by the main thread, which therefore only waits.
        self._thread = threading.Thread(target=self._run)
        if "SLURM_JOB_ID" in os.environ:
            signal.signal(signal.SIGTERM, self._on_terminate)
        self._thread.start()
        self._thread.join()
        if self._leaving and self._verdict not in ("done", "pruned"):
            self._wait_for_the_kill()
        return self._verdict

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._leaving = True

    def _wait_for_the_kill(self) -> None:
        """A result would tell the driver that this trial is over, and it goes on soon."""
        until = time.monotonic() + LONGEST_GRACE_SECONDS
        while time.monotonic() < until:
            time.sleep(0.5)

    def _run(self) -> None:
        path = Path(self._run_dir)
        self._verdict = run_trial(path, self._orders, must_leave=lambda: self._leaving)

    def checkpoint(self) -> DelayedSubmission:
        from submitit.helpers import DelayedSubmission

        self._leaving = True
        if self._thread is not None:
            self._thread.join()
        return DelayedSubmission(Job(self._run_dir, self._orders, self._handed))


def warm_up_in_a_job() -> None:
    """The training's processes are ours: a scheduler's variables would mislead Lightning."""
    foreign = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
    for name in foreign:
        del os.environ[name]
    process.warm_up()
    os.environ.update(foreign)  # submitit still asks which job this is
