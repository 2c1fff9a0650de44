"""One reader: whatever became of a run, what it wrote is read, once."""

import json
import math
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from folders import age, make_run, make_sweep, put

import vit.review.cache
import vit.review.reader
from vit.faults import Refused
from vit.review.history import read_history
from vit.review.reader import find_runs
from vit.review.sources import load
from vit.runs.record import Recorder, read_records


def test_a_run_is_read_with_its_series(tmp_path):
    make_run(tmp_path / "a", seed=3)
    (run,) = load([tmp_path / "a"]).runs
    assert (run.name, run.seed, run.state) == ("a", 3, "done")
    assert run.metrics["val/accuracy"] == 0.9 and run.monitor == ("val/accuracy", "max")
    assert run.history["val/accuracy"].steps.tolist() == [10, 20, 30]
    np.testing.assert_allclose(run.history["val/accuracy"].values, [0.3, 0.6, 0.9])
    assert run.history["epoch"].values.tolist() == [0, 1, 2]
    assert run.history["timing/step_seconds"].values.tolist() == [0.1, 0.1, 0.1]


def test_series_are_what_read_records_reads(tmp_path):
    file = tmp_path / "metrics.jsonl"
    recorder = Recorder(file)
    for step, value in ((10, 1.0), (20, math.nan), (30, math.inf), (20, 5.0), (5, -math.inf)):
        recorder.write(step, step // 10, {"a": value, **({"b": step / 1} if step > 10 else {})}, {})
    with file.open("ab") as stream:
        stream.write(b'{"step": 40, "epoch": 4, "metrics": {"a": 1, "c')
        stream.write(b"\nnull\n[]\n{}\n\xff\xfe\n")
    recorder.write(60, 6, {"a": 7.0}, {"t": 0.5})
    with file.open("ab") as stream:
        stream.write('{"step": 70, "epoch": 7, "metrics": {"a": 2, "ü'.encode()[:-1])
    found = read_history(file)
    file.write_bytes(file.read_bytes().decode(errors="replace").encode())
    expected = {record.step: float(record.metrics["a"]) for record in read_records(file)[:-1]}
    assert found["a"].steps.tolist() == [5, 10, 20, 30, 60]
    expected |= {60: 7.0}
    np.testing.assert_array_equal(found["a"].values, [expected[s] for s in (5, 10, 20, 30, 60)])
    assert found["b"].steps.tolist() == [20, 30] and found["timing/t"].steps.tolist() == [60]
    assert "c" not in found


def test_values_that_are_no_numbers_are_passed_over(tmp_path):
    file = tmp_path / "metrics.jsonl"
    metrics = {"list": [1], "none": None, "text": "high", "huge": 10**400, "good": 1}
    line = {"step": 1, "epoch": 0, "metrics": metrics, "timing": {}}
    file.write_text(json.dumps(line) + "\n")
    assert read_history(file).keys() == {"epoch", "good"}


def test_the_trials_of_a_sweep_come_as_planned(tmp_path):
    sweep = make_sweep(tmp_path / "sweep", depths=(6, 2))
    names = [path.name for path in find_runs(sweep)]
    assert names == ["depth_6-0", "depth_6-1", "depth_6-2", "depth_2-0", "depth_2-1", "depth_2-2"]
    assert len(find_runs(tmp_path)) == 6  # from a folder above as well
    groups = {run.group for run in load([sweep, sweep / "depth_6-0"]).runs}
    assert len(groups) == 2


def test_a_folder_without_runs_says_so(tmp_path):
    with pytest.raises(Refused, match="holds no runs"):
        load([tmp_path])
    with pytest.raises(Refused, match="no such folder"):
        load([tmp_path / "gone"])


def test_a_run_that_cannot_be_read_is_named_and_left_out(tmp_path):
    make_run(tmp_path / "good")
    put(make_run(tmp_path / "newer") / "config.yaml", {"schema_version": 2})
    (make_run(tmp_path / "torn") / "config.yaml").write_text("a: [1")
    found = load([tmp_path])
    assert [run.name for run in found.runs] == ["good"]
    assert len(found.notes) == 2 and "schema_version is 2" in found.notes[0]
    (tmp_path / "good" / "config.yaml").write_text("- 1")
    with pytest.raises(Refused, match="is not YAML"):
        load([tmp_path])


def test_a_done_run_without_its_record_is_counted_and_named(tmp_path):
    make_run(tmp_path / "whole")
    (make_run(tmp_path / "bare") / "metrics.jsonl").unlink()
    for _ in range(2):  # the second time from the cache
        found = load([tmp_path])
        assert len(found.runs) == 2
        (note,) = found.notes
        assert note.startswith("bare is done, but has no curves: ")
        assert "bare/metrics.jsonl is not there" in note


def test_a_killed_run_is_not_taken_for_one_that_is_trained(tmp_path):
    host = socket.gethostname()
    me, nobody = {"host": host, "pid": os.getpid()}, {"host": host, "pid": 2**22 + 1}
    make_run(tmp_path / "lives", state="running", owner=me)
    make_run(tmp_path / "killed", state="running", owner=nobody)
    make_run(tmp_path / "elsewhere", state="running", owner={"host": "other", "pid": 1})
    states = {run.name: run.state for run in load([tmp_path]).runs}
    assert states == {"lives": "running", "killed": "cut off", "elsewhere": "cut off"}
    killed = next(run for run in load([tmp_path]).runs if run.name == "killed")
    assert len(killed.history["val/accuracy"]) == 3 and killed.metrics == {}


def test_what_a_killed_process_wrote_is_read_up_to_the_kill(tmp_path):
    """Really killed, by the signal that no process can answer, while it wrote."""
    folder = make_run(tmp_path / "a", points=0, state="running")
    code = "import sys; from pathlib import Path; from vit.runs.record import Recorder\n"
    code += "recorder = Recorder(Path(sys.argv[1]) / 'metrics.jsonl')\n"
    code += "for step in range(10**9):\n"
    code += "    recorder.write(step, 0, {'val/accuracy': step / 2}, {}); print(step, flush=True)"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        owner = {"host": socket.gethostname(), "pid": process.pid}
        put(folder / "state.json", {"state": "running", "owner": owner})
        said = [int(process.stdout.readline()) for _ in range(200)]
        assert load([folder]).runs[0].state == "running"
        process.kill()
        said += [int(line) for line in process.stdout.read().splitlines()]
    (run,) = load([folder]).runs
    series = run.history["val/accuracy"]
    assert run.state == "cut off" and len(series) - (said[-1] + 1) in (0, 1)
    np.testing.assert_array_equal(series.values, np.arange(len(series)) / 2)


@pytest.fixture
def reads(monkeypatch):
    """The folders that were really read."""
    seen = []
    real = vit.review.reader.read_run

    def counted(path):
        seen.append(path.name)
        return real(path)

    monkeypatch.setattr(vit.review.cache, "read_run", counted)
    return seen


def test_only_what_changed_is_read_again(tmp_path, reads):
    for name in ("a", "b"):
        make_run(tmp_path / name, state="running" if name == "b" else "done")
    first = load([tmp_path]).runs
    again = load([tmp_path]).runs
    assert reads == ["a", "b"]
    for one, other in zip(first, again, strict=True):
        assert (one.config, one.state, one.results) == (other.config, other.state, other.results)
        assert one.history.keys() == other.history.keys()
        for name, series in one.history.items():
            np.testing.assert_array_equal(series.values, other.history[name].values)
            np.testing.assert_array_equal(series.steps, other.history[name].steps)
    Recorder(tmp_path / "b" / "metrics.jsonl").write(40, 4, {"val/accuracy": 0.95}, {})
    assert load([tmp_path]).runs[1].history["val/accuracy"].values[-1] == 0.95
    assert reads == ["a", "b", "b"]


def test_what_changed_a_moment_ago_is_not_kept(tmp_path, reads):
    make_run(tmp_path / "a", old=False)
    load([tmp_path]), load([tmp_path])
    assert reads == ["a", "a"]


@pytest.mark.parametrize("damage", ["cut", "noise", "version", "pickle"])
def test_a_damaged_cache_is_made_anew(tmp_path, reads, damage):
    make_run(tmp_path / "a")
    load([tmp_path])
    file = tmp_path / ".review.npz"
    good = file.read_bytes()
    if damage == "cut":
        file.write_bytes(good[: len(good) // 2])
    elif damage == "noise":
        middle = len(good) // 2
        file.write_bytes(good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :])
    elif damage == "version":
        file.write_bytes(good.replace(b'"version": 2', b'"version": 0'))
    else:
        np.savez(file, index=np.array([{}], dtype=object))
    (run,) = load([tmp_path]).runs
    assert reads == ["a", "a"] and run.history["val/accuracy"].values[-1] == 0.9
    load([tmp_path])
    assert reads == ["a", "a"]


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    make_run(tmp_path / "a")
    monkeypatch.setattr(vit.review.cache.np, "savez", full)
    assert len(load([tmp_path]).runs) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_run_that_is_gone_is_forgotten(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / name)
    load([tmp_path])
    size = (tmp_path / ".review.npz").stat().st_size
    (tmp_path / "b" / "config.yaml").unlink()
    age(tmp_path / "a")
    assert len(load([tmp_path]).runs) == 1
    assert (tmp_path / ".review.npz").stat().st_size < size
