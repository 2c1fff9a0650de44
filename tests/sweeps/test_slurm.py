from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from vit.faults import Refused
from vit.sweeps.slurm import Slurm
from vit.sweeps.trial import TrialOptions


class Queue:
    """A Slurm that never starts anything, or takes nothing."""

    def __init__(self, refuse=None):
        self.refuse, self.cancelled = refuse, []

    def update_parameters(self, **_):
        return None

    @contextmanager
    def batch(self):
        yield
        if self.refuse:
            raise RuntimeError(self.refuse)

    def submit(self, job):
        cancel = lambda: self.cancelled.append(job)  # noqa: E731
        return SimpleNamespace(state="PENDING", done=lambda: False, cancel=cancel)


@pytest.fixture
def opened(make_trial, monkeypatch):
    submitit = pytest.importorskip("submitit")

    def open_with(queue):
        monkeypatch.setattr(submitit, "AutoExecutor", lambda **_: queue)
        slurm = Slurm(poll_seconds=0.0)
        slurm.open(2, 1, [], TrialOptions())
        trial = make_trial()
        trial.run_dir.mkdir()
        trial.config |= {"threads": 1, "trainer": {"devices": 1, "accelerator": "cpu"}}
        slurm.submit(trial)
        return slurm, trial

    return open_with


def test_a_job_that_still_waits_is_cancelled_when_the_sweep_stops(opened):
    queue = Queue()
    slurm, trial = opened(queue)
    assert slurm.finished() == [] and len(slurm.running()) == 1
    trial.folder.order("stopped")
    assert slurm.finished() == [(trial, "stopped")]
    assert len(queue.cancelled) == 1 and slurm.running() == []
    assert trial.folder.state()["state"] == "stopped"


def test_what_sbatch_says_is_shown(opened):
    slurm, _ = opened(Queue(refuse="sbatch: error: invalid partition specified: gpux"))
    with pytest.raises(Refused, match="invalid partition"):
        slurm.finished()
