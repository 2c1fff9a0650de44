import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from vit.faults import Refused
from vit.sweeps import slurm as subject
from vit.sweeps.slurm import Slurm
from vit.sweeps.slurm_queue import Standing, standings
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
        paths = SimpleNamespace(result_pickle=Path("no-result.pkl"))
        return SimpleNamespace(job_id="7_0", paths=paths, done=lambda: False, cancel=cancel)


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


def test_a_job_that_still_waits_is_cancelled_when_the_sweep_stops(opened, monkeypatch):
    queue = Queue()
    monkeypatch.setattr(subject, "standings", lambda ids: {i: Standing("PENDING") for i in ids})
    slurm, trial = opened(queue)
    assert slurm.finished() == [] and len(slurm.running()) == 1
    trial.folder.order("stopped")
    assert slurm.finished() == [(trial, "stopped")]
    assert len(queue.cancelled) == 1 and slurm.running() == []
    assert trial.folder.state().name == "stopped"


def test_what_sbatch_says_is_shown(opened):
    slurm, _ = opened(Queue(refuse="sbatch: error: invalid partition specified: gpux"))
    with pytest.raises(Refused, match="invalid partition"):
        slurm.finished()


def test_a_job_that_was_cancelled_from_outside_fails_its_trial(opened, monkeypatch):
    asked = [{"7_0": Standing("RUNNING")}, None, {"7_0": Standing("CANCELLED")}]
    monkeypatch.setattr(subject, "standings", lambda ids: asked.pop(0))
    monkeypatch.setattr(subject, "RESULT_SECONDS", 0.0)
    slurm, trial = opened(Queue())
    assert slurm.finished() == [] and slurm.standing(trial) == ""
    assert slurm.finished() == []  # the queue did not answer, which says nothing of the job
    assert slurm.finished() == [(trial, "failed")]
    assert trial.folder.state().error == "the job was lost: cancelled"


def test_a_job_that_left_the_queue_has_time_for_its_result(opened, monkeypatch):
    monkeypatch.setattr(subject, "standings", lambda ids: {"7_0": Standing("GONE")})
    slurm, _ = opened(Queue())
    assert slurm.finished() == slurm.finished() == []


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    def answers(text, code=0):
        file = tmp_path / "squeue"
        file.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return answers


def test_the_queue_says_where_each_job_stands(squeue):
    squeue("7_0|PENDING|Resources\n7_1|RUNNING|None\n8|PENDING|(Node n1 is down, at length)")
    stand = standings(["7_0", "7_1", "8", "9"])
    assert str(stand["7_0"]) == "pending: Resources" and stand["7_0"].waits
    assert str(stand["7_1"]) == "running" and not stand["7_1"].waits and not stand["7_1"].ended
    assert str(stand["8"]) == "pending"
    assert stand["9"].ended


def test_a_queue_that_does_not_answer_says_nothing(squeue):
    squeue("slurm_load_jobs error: Unable to contact slurm controller", code=1)
    assert standings(["7"]) is None
    assert standings([]) == {}


JOB = """
import os, sys
os.environ["SLURM_JOB_ID"] = "7"
from vit.sweeps import job
from vit.sweeps.trial import TrialOptions
job.process.warm_up = lambda: None
job.LONGEST_GRACE_SECONDS = float(sys.argv[1])
def run_trial(path, orders, must_leave):
    print("running", flush=True)
    while not must_leave():
        job.time.sleep(0.01)
    print("saved", flush=True)
    return "stopped"
job.run_trial = run_trial
print(job.Job("run", TrialOptions())(), flush=True)
"""


@pytest.mark.parametrize("grace", ["0", "60"])
def test_a_preempted_job_saves_and_leaves_no_result_before_it_is_killed(grace):
    command = [sys.executable, "-c", JOB, grace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "running\n"
        job.send_signal(signal.SIGTERM)
        assert job.stdout.readline() == "saved\n"
        if grace == "0":
            assert job.stdout.readline() == "stopped\n"
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(0.5)
            job.kill()
            assert job.stdout.read() == ""
