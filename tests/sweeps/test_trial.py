"""What becomes of one trial, with processes that are launched for real but train nothing."""

import time
from types import SimpleNamespace

import pytest

from vit.runs.claim import claim
from vit.runs.files import read_json
from vit.runs.launch import Launched
from vit.runs.writing import write_json
from vit.sweeps import trial as subject
from vit.sweeps.trial import TrialOptions, run_trial

NOW, MONOTONIC = time.time(), time.monotonic


class Play(Launched):
    """Stands for a launched training: does `act` on the folder, then has an exit code."""

    def __init__(self, folder, act):
        self.pid, self._code = 1, None
        self.stopped = self.killed = False
        self._folder, self._act = folder, act
        self._waits = 0

    @property
    def exit_code(self):
        return self._code

    def wait(self, seconds):
        self._waits += 1
        assert self._waits < 400, "waited for ever"
        time.sleep(0.002)
        self._code = self._act(self._folder, self)

    def stop(self):
        self.stopped = True

    def kill(self):
        self.killed = True
        self._code = 137


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Runs a planned trial whose attempts are these acts, one after another."""

    def run(*acts, **orders):
        folder = subject.RunFolder(tmp_path)
        if not folder.config_file.exists():
            config = {"schema_version": 1, "seed": 0, "trainer": {"devices": 1}}
            folder.freeze(config)
            write_json(tmp_path / "trial.json", {"id": "x"})
        launched = []

        def launch(folder, config, environment, allowed):
            launched.append(Play(folder, acts[len(launched)]))
            launched[-1].environment = environment
            return launched[-1]

        monkeypatch.setattr(subject, "launch", launch)
        monkeypatch.setattr(subject, "BEAT_SECONDS", 0.0)
        leave = orders.pop("must_leave", lambda: False)
        gpus = {"CUDA_VISIBLE_DEVICES": "3"}
        verdict = run_trial(tmp_path, TrialOptions(**orders), gpus, must_leave=leave)
        played = SimpleNamespace(verdict=verdict, launched=launched, state=folder.state())
        played.trial = read_json(tmp_path / "trial.json")
        return played

    return run


def finishes(folder, _):
    write_json(folder.results_file, {"metrics": {}})
    folder.set_state("done")
    return 0


def says_failed(kind, error="it broke"):
    def act(folder, _):
        folder.set_state("failed", kind=kind, error=error)
        return 1

    return act


def ends_with(code):
    return lambda folder, _: code


def waits_for_stop(state=None):
    def act(folder, process):
        if not process.stopped:
            return None
        if state:
            folder.set_state(state)
        return 143

    return act


def test_a_trial_that_finishes_is_done_and_its_attempt_noted(play):
    played = play(finishes)
    assert played.verdict == "done"
    assert played.launched[0].environment == {"CUDA_VISIBLE_DEVICES": "3"}
    (attempt,) = played.trial["attempts"]
    assert attempt["state"] == "done" and attempt["ended"] >= attempt["started"]
    assert played.trial["id"] == "x"


def test_an_exit_code_of_zero_proves_nothing(play):
    played = play(ends_with(0), retries=0)
    assert (played.verdict, played.state.kind) == ("failed", "exited")


@pytest.mark.parametrize(
    ("code", "kind"), [(137, "killed"), (143, "terminated"), (7, "exited"), (2, "refused")]
)
def test_a_death_without_a_word_is_known_by_its_exit_code(play, code, kind):
    played = play(ends_with(code), retries=0)
    assert played.state.name == "failed" and played.state.kind == kind


def test_a_kill_by_the_system_for_memory_is_recognised(play, monkeypatch):
    counted = iter([4, 5])
    monkeypatch.setattr(subject, "_oom_kills", lambda: next(counted))
    assert play(ends_with(137), retries=0).state.kind == "out_of_memory"


def test_a_failed_attempt_is_followed_by_another(play):
    played = play(says_failed("exception"), ends_with(137), finishes, retries=2)
    assert played.verdict == "done"
    assert [row["kind"] for row in played.trial["attempts"]] == ["exception", "killed", None]


def test_a_diverged_trial_is_not_tried_again(play):
    played = play(says_failed("diverged"), retries=3)
    assert played.verdict == "failed" and len(played.launched) == 1


def test_out_of_memory_halves_the_batch_when_asked_and_records_it(play, tmp_path):
    played = play(says_failed("out_of_memory"), finishes, retries=1, halve_batch=True)
    assert played.trial["adapted"] == {"trainer.accumulate_grad_batches": 2}
    assert subject.RunFolder(tmp_path).config()["trainer"]["accumulate_grad_batches"] == 2
    assert played.trial["attempts"][0]["kind"] == "out_of_memory"


def test_a_silent_training_is_hung_stopped_and_then_killed(play):
    def deaf(folder, process):
        return None

    played = play(deaf, retries=0, hang_seconds=0.05, grace_seconds=0.05)
    assert played.launched[0].stopped and played.launched[0].killed
    assert played.state.kind == "hung"


def test_a_training_is_not_hung_because_the_machine_slept(play, monkeypatch):
    slept = []
    monkeypatch.setattr(subject.time, "time", lambda: NOW + 3600 * len(slept))
    monkeypatch.setattr(subject.time, "monotonic", lambda: MONOTONIC() + 3600 * len(slept))

    def sleepy(folder, process):
        if process._waits in (5, 10):
            slept.append("an hour")  # and the heartbeat is an hour old when it wakes
        return None if process._waits < 20 else finishes(folder, process)

    assert play(sleepy, hang_seconds=5.0, retries=0).verdict == "done"


def test_the_disk_being_full_is_not_taken_for_a_death_without_a_word(play, monkeypatch):
    monkeypatch.setattr(subject, "is_full", lambda path: True)
    played = play(ends_with(1), retries=0)
    assert played.state.kind == "disk_full" and "disk is full" in played.state.error


def test_a_training_that_finishes_batches_is_not_hung(play):
    began = time.monotonic()

    def lively(folder, process):
        folder.heartbeat_file.touch()
        time.sleep(0.01)
        return None if time.monotonic() - began < 0.3 else finishes(folder, process)

    assert play(lively, hang_seconds=0.1).verdict == "done"


@pytest.mark.parametrize("what", ["pruned", "stopped"])
def test_orders_are_carried_out(play, what, tmp_path):
    folder = subject.RunFolder(tmp_path)

    def act(_, process):
        folder.order(what)
        return waits_for_stop()(folder, process)

    played = play(act)
    assert played.verdict == what and played.state.name == what
    if what == "stopped":
        assert play().verdict == "stopped"  # until a new start forgets it
        subject.forget_order(folder)
        assert play(finishes).verdict == "done"
    else:
        assert play().verdict == "pruned"


def test_what_somebody_else_runs_or_finished_is_left_alone(play, tmp_path):
    held = claim(tmp_path)
    assert play(grace_seconds=0.1).verdict == "held"
    held.release()
    assert play(finishes).verdict == "done"
    assert play().verdict == "done"


def test_a_training_that_still_saves_is_waited_for(play, tmp_path):
    folder = subject.RunFolder(tmp_path)
    folder.freeze({"schema_version": 1, "trainer": {}})
    with folder.locked():
        assert play(grace_seconds=0.1).verdict == "held"


def test_the_last_lines_of_the_log_are_kept(play, tmp_path):
    folder = subject.RunFolder(tmp_path)

    def act(_, process):
        folder.log_file.write_text("\n".join(f"line {n}" for n in range(100)))
        return 137

    tail = play(act, retries=0).state.log_tail
    assert tail[-1] == "line 99" and len(tail) == subject.TAIL_LINES


def test_a_trial_whose_cluster_takes_its_machine_back_saves_and_can_go_on(play):
    played = play(waits_for_stop("preempted"), must_leave=lambda: True)
    assert played.verdict == "stopped" and played.launched == []
    assert played.state.name == "preempted"
    asked = iter([False, False, False])
    played = play(waits_for_stop("preempted"), must_leave=lambda: next(asked, True))
    assert played.verdict == "stopped" and played.launched[0].stopped
    assert played.state.name == "preempted"
    assert play(finishes).verdict == "done"  # nothing was left in the folder that would stop it


def test_a_signal_to_the_training_itself_is_the_clusters_where_it_takes_the_machine_back(play):
    asked = iter([False, False])

    def dies(folder, _):
        folder.set_state("preempted")
        return 143

    played = play(dies, must_leave=lambda: next(asked, True))
    assert played.verdict == "stopped" and played.state.name == "preempted"
