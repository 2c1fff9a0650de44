"""vit train -m and vit sweep as a person uses them: real digits, tiny models, one thread."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from commands import command, true_command

from vit.runs.claim import claim

SMALL = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=1",
    "schedule.warmup_epochs=0",
    "tracking=none",
]


def vit(*words, code=0, by=command):
    return by(*words, code=code, environment={"COLUMNS": "120"})


def sweep(folder, *words, code=0, by=command):
    return vit("train", "-m", *SMALL, *words, f"hydra.sweep.dir={folder}", code=code, by=by)


def states(folder):
    told = json.loads(vit("sweep", "status", str(folder), "--json").stdout)
    return {row["label"].rsplit("-", 1)[0]: row["state"] for row in told["trials"]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    done = sweep(folder, "seed=0,1,1", by=true_command)
    return folder, done.stdout


def test_a_grid_is_planned_run_and_recorded(swept):
    folder, said = swept
    assert "merged: seed=1 is the same run as seed_1" in said
    assert "2 trials" in said and "2 done" in said and "mean ± 95 %" in said
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert [(row["seed"], row["state"]) for row in rows] == [("0", "done"), ("1", "done")]
    assert all(0 <= float(row["test/accuracy"]) <= 1 for row in rows)
    assert states(folder) == {"seed_0": "done", "seed_1": "done"}


def test_the_same_command_leaves_what_is_done_and_a_grown_grid_adds(swept):
    folder, _ = swept
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/checkpoints/last.ckpt")}
    said = sweep(folder, "seed=0,1,2").stdout
    assert states(folder) == {"seed_0": "done", "seed_1": "done", "seed_2": "done"}
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert said.count("\ndone ") == 1


def test_other_code_is_refused_unless_it_is_allowed(swept):
    folder, _ = swept
    file = folder / "sweep.json"
    kept = file.read_text()
    told = json.loads(kept)
    told["code"]["vit"] = "another"
    file.write_text(json.dumps(told))
    done = sweep(folder, "seed=0,1", code=2)
    assert "the code of vit" in done.stderr and "--allow-changed" in done.stderr
    sweep(folder, "seed=0,1", "--allow-changed")
    file.write_text(kept)


def test_a_second_driver_is_told_of_the_first(swept):
    folder, _ = swept
    held = claim(folder)
    done = sweep(folder, "seed=0,1", code=2)
    held.release()
    assert f"process {os.getpid()}" in done.stderr


def test_a_plan_alone_writes_nothing_and_every_fault_is_told(tmp_path):
    folder = tmp_path / "sweep"
    assert "2 trials" in sweep(folder, "seed=0,1", "--dry-run").stdout
    done = sweep(folder, "backbone.heads=4,5,7", "optim.lr=0.1,-1", code=2)
    assert "backbone.heads=5" in done.stderr and "backbone.heads=7" in done.stderr
    assert "optim.lr=-1" in done.stderr
    assert "'depth'" in sweep(folder, "backbone.dpth=1,2", code=2).stderr
    assert "one plain name" in sweep(folder, "hydra.sweep.subdir=a/b", code=2).stderr
    assert "sweep=optuna" in sweep(folder, "optim.lr=interval(0.1,1)", code=2).stderr
    assert not folder.exists()


def test_an_unknown_key_hides_no_other_fault(tmp_path):
    words = ["optim.lr=1e-3,nope", "trainer.max_epoch=3", "sweep.keepp=best", "sweep.jobs=0"]
    told = sweep(tmp_path / "sweep", *words, code=2).stderr
    for part in ("trainer.max_epoch", "sweep.keepp", "sweep.jobs: is 0", "optim.lr"):
        assert part in told
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_diverged_trial_fails_alone_and_retry_runs_it_again(tmp_path):
    folder = tmp_path / "sweep"
    words = ["optim.lr=0.01,9999", "trainer.gradient_clip_val=null"]
    done = sweep(folder, *words, code=1)
    assert "diverged" in done.stdout
    assert sorted(states(folder).values()) == ["done", "failed"]
    assert "diverged" in vit("sweep", "status", str(folder)).stdout
    again = sweep(folder, *words, code=1)  # nothing is gained by another attempt
    assert "\nfailed   lr_" not in again.stdout
    assert "\nfailed   lr_" in vit("sweep", "retry", str(folder), code=1).stdout


def test_points_and_params_of_a_file_make_a_sweep(tmp_path):
    (tmp_path / "sweep.yaml").write_text(
        "defaults: [train, override experiment: digits, _self_]\n"
        "sweep:\n  params: {seed: 'range(2)'}\n"
        "  points: ['backbone.depth=1', 'backbone.depth=2 backbone.dim=32']\n"
    )
    words = ["train", "-m", "--config-dir", str(tmp_path), "--config-name", "sweep", "--dry-run"]
    said = vit(*words, f"hydra.sweep.dir={tmp_path}/out").stdout
    assert "4 trials" in said


@pytest.mark.slow
def test_a_search_prunes_and_counts_groups_of_seeds(tmp_path):
    folder = tmp_path / "sweep"
    words = ["sweep=asha", "sweep.sampler.exhaustive=true", "optim.lr=1e-6,0.05", "seed=0,1"]
    words += ["trainer.max_epochs=4", "sweep.sampler.pruner.reduction_factor=2", "sweep.jobs=1"]
    sweep(folder, *words, "threads=1")
    found = states(folder)
    assert list(found.values()).count("done") >= 2
    assert (folder / "study.journal").stat().st_size > 0
    assert "\ndone " not in sweep(folder, *words, "threads=1").stdout


def test_stopped_by_hand_and_gone_on_with(tmp_path):
    folder = tmp_path / "sweep"
    words = ["seed=0,1", "trainer.max_epochs=300", f"hydra.sweep.dir={folder}"]
    program = [sys.executable, "-m", "vit", "train", "-m", *SMALL, *words]
    driver = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(folder.glob("*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.1)
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, said
    assert set(states(folder).values()) <= {"stopped", "planned"}
    for file in folder.glob("*/state.json"):
        assert json.loads(file.read_text())["owner"]
    left = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False)
    assert left.stdout == b"", "a process was left behind"


@pytest.mark.slow
def test_trials_of_one_and_two_processes_in_one_sweep(tmp_path):
    for number, devices in enumerate(["1,2,1", "2,1,2"]):
        folder = tmp_path / str(number)
        words = [f"trainer.devices={devices}", "trainer.strategy=ddp", "trainer.accelerator=cpu"]
        sweep(folder, *words, "seed=0,1")
        rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
        assert sorted((r["trainer.devices"], r["seed"], r["state"]) for r in rows) == [
            (count, seed, "done") for count in "12" for seed in "01"
        ]


def test_a_sweep_that_was_moved_is_not_resumed_where_it_was(swept, tmp_path):
    folder, _ = swept
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    told = vit("sweep", "resume", str(moved), code=2).stderr
    assert str(folder) in told and f"hydra.sweep.dir={moved}" in told


@pytest.mark.slow
def test_the_plan_suggests_a_rate_for_each_shape_and_changes_nothing(tmp_path):
    words = ["backbone.depth=1,2", "seed=0,1", "--dry-run", "--find-lr"]
    told = sweep(tmp_path / "sweep", *words).stdout
    assert told.count("and 1 more of this shape") == 2
    assert told.count("optim.lr=") + told.count("none found") == 2
    assert "nothing was changed" in told and not (tmp_path / "sweep").exists()
    assert "vit check" in vit("train", *SMALL, "--find-lr", code=2).stderr
