"""The driver with trials that are only pretended."""

import errno
import io
import os
import signal
import sqlite3

import pytest
from rich.console import Console

from vit.runs.claim import claim
from vit.runs.failure import kind_of
from vit.sweeps.board import Board, Status, headline
from vit.sweeps.driver import Driver
from vit.sweeps.ledger import Ledger
from vit.sweeps.policy import Policy
from vit.sweeps.samplers import Grid, Planned


class Pretended:
    """An executor whose trials end as they are meant to, a step after they began."""

    here = True

    def __init__(self, ends, finish, room=2):
        self.ends, self._finish, self._room = ends, finish, room
        self.started = []
        self._running = []
        self._seen = []

    def default_jobs(self, config, gpus):
        raise AssertionError("not by the driver")

    def open(self, jobs, devices, gpus, orders):
        raise AssertionError("not by the driver")

    def has_room(self):
        return len(self._running) < self._room

    def submit(self, trial):
        self.started.append(trial.label)
        self._running.append(trial)

    def finished(self):
        ended = [trial for trial in self._running if trial in self._seen]
        self._seen = list(self._running)
        self._running = [trial for trial in self._running if trial not in ended]
        found = []
        for trial in ended:
            verdict = trial.folder.ordered() or self.ends.get(trial.label, "done")
            if verdict == "done":
                self._finish(trial, 0.5)
            else:
                trial.folder.set_state(verdict, kind="exception" if verdict == "failed" else None)
            found.append((trial, verdict))
        return found

    def running(self):
        return list(self._running)

    def kill(self):
        self.killed = True

    def close(self):
        return None


@pytest.fixture
def drive(tmp_path, objective, make_trial, finish):
    def run(ends, count=5, sampler=None, **settings):
        trials = [make_trial(seed=seed) for seed in range(count)]
        executor = Pretended(ends, finish)
        policy = Policy(sampler=Grid(), executor=executor, **settings)
        said = io.StringIO()
        board = Board("sweep", Console(file=said, width=200))
        ledger = Ledger(tmp_path)
        own = claim(tmp_path)
        driver = Driver(ledger, policy, sampler or Planned(trials), objective, board, own)
        code = driver.run([])
        own.release()
        return code, executor, said.getvalue(), ledger

    return run


def test_every_trial_is_run_once_and_shown(drive):
    code, executor, said, ledger = drive({})
    assert code == 0
    assert executor.started == [f"a-{seed}" for seed in range(5)]
    assert said.count("done") == 5 and "val/accuracy 0.5000" in said
    assert len(ledger.results_file.read_text().splitlines()) == 6


def test_what_waits_in_a_queue_is_shown_with_its_reason(drive, monkeypatch):
    standing = lambda self, trial: "pending: Resources" if trial.label == "a-1" else ""  # noqa: E731
    monkeypatch.setattr(Pretended, "standing", standing, raising=False)
    shown = []
    monkeypatch.setattr(Board, "show", lambda self, status, **_: shown.append(status))
    drive({})
    status = next(each for each in shown if each.counts["waiting"])
    assert headline(status).startswith("0 of 5 ended, 1 running, 1 waiting")
    assert [row.text for row in status.running] == ["starting", "pending: Resources"]
    text = io.StringIO()
    console = Console(file=text, width=120)
    console.print(Board("sweep", console)._drawing(status))
    assert "waiting" in text.getvalue() and "pending: Resources" in text.getvalue()


def test_a_failed_trial_fails_the_sweep_and_not_the_others(drive):
    code, executor, said, _ = drive({"a-1": "failed"})
    assert code == 1
    assert len(executor.started) == 5
    assert "exception" in said


def test_too_many_failures_end_a_hopeless_sweep(drive):
    code, executor, said, _ = drive({f"a-{n}": "failed" for n in range(9)}, 9, max_failures=2)
    assert code == 1
    assert len(executor.started) < 9
    assert "sweep.max_failures" in said


def test_the_stop_file_stops_it_in_order(drive, tmp_path):
    (tmp_path / "stop").touch()
    code, executor, _, _ = drive({})
    assert code == 130 and executor.started == []


def test_a_signal_stops_it_in_order_and_its_exit_code_says_so(drive, make_trial):
    class Signalling(Planned):
        def next(self):
            trial = super().next()
            if trial is not None and trial.label == "a-1":
                os.kill(os.getpid(), signal.SIGTERM)
            return trial

    before = signal.getsignal(signal.SIGTERM)
    sampler = Signalling([make_trial(seed=seed) for seed in range(5)])
    code, executor, _, ledger = drive({}, sampler=sampler)
    assert code == 143
    assert executor.started == ["a-0"]
    assert {row.state for row in ledger.rows()} <= {"stopped", "planned"}
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_driver_that_was_taken_over_stops(drive, tmp_path, monkeypatch):
    monkeypatch.setattr("vit.runs.claim.Claim.beat", lambda self: False)
    code, _, said, _ = drive({})
    assert code == 1 and "taken this sweep over" in said


@pytest.mark.parametrize(
    "settings",
    [{"jobs": 0}, {"retries": -1}, {"max_failures": 0}, {"hang_minutes": 0.0}, {"keep_best": 0}],
)
def test_policies_that_cannot_be_meant_are_refused(settings, finish):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Policy(sampler=Grid(), executor=Pretended({}, finish), **settings)


def test_the_headline_counts_what_ended():
    line = headline(Status({"done": 3, "failed": 1, "running": 2}, 10, seconds_left=63.0))
    assert line == "4 of 10 ended, 2 running, 1 failed, 1:03 left"


def test_a_disk_that_fills_up_ends_the_sweep_and_says_so(drive, monkeypatch):
    enter = Ledger.enter

    def full(self, trial):
        if trial.label == "a-3":
            raise OSError(errno.ENOSPC, "No space left on device")
        enter(self, trial)

    monkeypatch.setattr(Ledger, "enter", full)
    code, executor, said, _ = drive({})
    assert code == 1 and "a-3" not in executor.started
    assert "disk is full" in said


@pytest.mark.parametrize("where", ["trial", "sampler"])
def test_a_disk_that_is_full_elsewhere_ends_the_sweep_as_well(drive, make_trial, where):
    full = OSError(errno.ENOSPC, "No space left on device")

    class Writing(Planned):
        def tell(self, trial, verdict):
            if trial.label == "a-1" and where == "sampler":
                raise full
            if trial.label == "a-1":  # as Local leaves it, whose thread could not write
                trial.report["driver_kind"] = kind_of(full)

    sampler = Writing([make_trial(seed=seed) for seed in range(6)])
    code, executor, said, _ = drive({"a-1": "failed"}, sampler=sampler)
    assert code == 1 and len(executor.started) < 6
    assert said.count("the disk is full, the sweep ends here") == 1


def sqlite_is_full():
    """What Optuna makes of it: an error of its own, and the database's behind it."""
    with pytest.raises(sqlite3.OperationalError) as full, sqlite3.connect(":memory:") as base:
        base.execute("pragma max_page_count = 1")
        base.execute("create table t (a)")
    error = RuntimeError("the storage failed")
    error.__cause__ = full.value
    return error


@pytest.mark.parametrize("method", ["tell", "report"])
@pytest.mark.parametrize("kind", ["file", "database"])
def test_what_ended_beside_a_sampler_that_cannot_write_is_not_lost(drive, make_trial, method, kind):
    full = sqlite_is_full() if kind == "database" else OSError(errno.ENOSPC, "No space left")
    heard = []

    class Full(Planned):
        def tell(self, trial, verdict):
            self._write("tell", trial)

        def report(self, trial, step, value):
            self._write("report", trial)

        def _write(self, what, trial):
            if what == method:
                heard.append(trial.label)
                raise full

    sampler = Full([make_trial(seed=seed) for seed in range(6)])
    code, executor, said, ledger = drive({}, sampler=sampler)
    assert code == 1 and executor.started == ["a-0", "a-1"]
    assert said.count("the disk is full, the sweep ends here") == 1
    assert said.count("val/accuracy 0.5000") == 2  # both of them are said to have ended
    assert [row.state for row in ledger.rows()] == ["done", "done"]
    assert len(ledger.results_file.read_text().splitlines()) == 3
    assert len(heard) == 1  # and nothing more is written after half a line


def test_a_stop_that_comes_when_all_is_done_is_none(drive, tmp_path, make_trial):
    class Late(Planned):
        def tell(self, trial, verdict):
            if trial.label == "a-1":
                os.kill(os.getpid(), signal.SIGTERM)

    code, _, _, ledger = drive({}, sampler=Late([make_trial(seed=n) for n in range(2)]))
    assert code == 0 and {row.state for row in ledger.rows()} == {"done"}
