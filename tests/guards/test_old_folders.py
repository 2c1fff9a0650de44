"""Folders that an earlier vit wrote go on: the same command, the same names, nothing lost.

`folders_of_0016.tar.gz` holds a run that was stopped after its first epoch and a sweep of two
trials, one stopped and one not begun, as they lay on another machine (names and paths replaced).
Further archives come beside it, when the files of a run change; none is ever written anew.
"""

import json
import tarfile
from pathlib import Path

import pytest
from commands import command

WORDS = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "backbone.heads=2",
    "backbone.patch_size=4",
    "trainer.max_epochs=6",
    "schedule.warmup_epochs=0",
    "threads=1",
    "trainer.accelerator=cpu",
    "tracking=none",
    "watch.pictures=0",
    "watch.attention=0",
    "data.train_limit=400",
    "data.batch_size=4",
]


@pytest.fixture()
def folder(tmp_path):
    with tarfile.open(Path(__file__).with_name("folders_of_0016.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def vit(folder, *words):
    result = command(*words, cwd=folder)
    return result.stdout + result.stderr


def epochs(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    records = map(json.loads, lines)
    return [each["epoch"] for each in records if "val/loss" in each.get("metrics", each)]


def test_a_run_goes_on_after_the_epoch_it_was_stopped_in(folder):
    before = (folder / "run/metrics.jsonl").read_text()
    assert epochs(folder / "run") == [0]
    said = vit(folder, "train", *WORDS, "hydra.run.dir=run")
    assert "epoch 6/6" in said and "epoch 1/6" not in said
    assert epochs(folder / "run") == [0, 1, 2, 3, 4, 5]
    assert (folder / "run/metrics.jsonl").read_text().startswith(before)
    assert "test/accuracy" in vit(folder, "evaluate", "run", "--json")


def test_a_sweep_goes_on_in_the_folders_it_had(folder):
    trials = sorted(path.parent.name for path in folder.glob("sweep/*/trial.json"))
    words = [*WORDS, "seed=0,1", "sweep.jobs=1", "hydra.sweep.dir=sweep"]
    said = vit(folder, "train", "-m", *words, "--allow-changed")
    assert "2 done" in said
    assert sorted(path.parent.name for path in folder.glob("sweep/*/trial.json")) == trials
    for trial in trials:
        state = json.loads((folder / "sweep" / trial / "state.json").read_text())
        assert state["state"] == "done"
        assert epochs(folder / "sweep" / trial) == [0, 1, 2, 3, 4, 5]
