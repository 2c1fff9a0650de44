"""A run of each task from Python is the command's, bit for bit."""

import json

import pytest
import torch
from commands import command
from tiny_runs import KINDS

import vit
from vit.runs.checkpoint import read_checkpoint
from vit.runs.directory import RunFolder

KEYS = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 8},
    "schedule": {"warmup_epochs": 0},
    "checkpoint": {"monitor": "val/loss", "mode": "min"},
    "data": {"batch_size": 4},
    "seed": 3,
}
WORDS = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=8",
    "schedule.warmup_epochs=0",
    "checkpoint.monitor=val/loss",
]
WORDS += ["checkpoint.mode=min", "data.batch_size=4", "seed=3"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_python_trains_every_task_as_the_command_does(tiny_runs, tmp_path, monkeypatch, kind):
    words = tiny_runs.words(kind)
    for name in ("python", "command"):
        (tmp_path / name).mkdir()
    command("train", *words, *WORDS, cwd=tmp_path / "command")
    monkeypatch.chdir(tmp_path / "python")
    run = vit.train(*words, progress=False, **KEYS)
    own = RunFolder(run.path)
    other = RunFolder(tmp_path / "command" / run.path)
    assert own.config() == other.config() and run.state == "done"
    rows = [
        [json.loads(line)["metrics"] for line in folder.metrics_file.read_text().splitlines()]
        for folder in (own, other)
    ]
    assert rows[0] == rows[1] and len(rows[0]) > 1
    mine, theirs = (read_checkpoint(each.best_checkpoint)["state_dict"] for each in (own, other))
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
