"""A trial as a cluster's job: what runs on whatever machine the cluster gave."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vit.runs import process
from vit.runs.directory import RunFolder
from vit.sweeps.trial import TrialOptions, Verdict, forget_order, run_trial

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class Job:
    """Called, it runs one trial to its end. Knows nothing of the driver but the trial's folder.

    `checkpoint` is what submitit calls when the job's time is over or it is preempted: the
    training saves and ends, and the job is queued again.
    """

    def __init__(self, run_dir: str, orders: TrialOptions, handed: Mapping[str, str] | None = None):
        self._run_dir = run_dir
        self._orders = orders
        self._handed = dict(handed or {})  # see vit.runs.environment.handed_on
        self._thread: threading.Thread | None = None
        self._verdict: Verdict = "failed"

    def __call__(self) -> Verdict:
        os.environ.update(self._handed)  # the process is this job's own
        warm_up_in_a_job()
        # A signal is answered by the main thread, which therefore only waits.
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._thread.join()
        return self._verdict

    def _run(self) -> None:
        self._verdict = run_trial(Path(self._run_dir), self._orders)

    def checkpoint(self) -> DelayedSubmission:
        from submitit.helpers import DelayedSubmission

        folder = RunFolder(Path(self._run_dir))
        folder.order("stopped")
        if self._thread is not None:
            self._thread.join()
        forget_order(folder)
        return DelayedSubmission(Job(self._run_dir, self._orders, self._handed))


def warm_up_in_a_job() -> None:
    """The training's processes are ours: a scheduler's variables would mislead Lightning."""
    foreign = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
    for name in foreign:
        del os.environ[name]
    process.warm_up()
    os.environ.update(foreign)  # submitit still asks which job this is
