"""Trials of one and of two processes under every executor, from a grid and from a search."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vit.runs.identity import config_hash

HERE = Path(__file__).parent
SMALL = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=1",
    "schedule.warmup_epochs=0",
    "tracking=none",
    "threads=1",
    "trainer.strategy=ddp",
]
EXECUTORS = {
    "local": [],
    "submitit": [
        "sweep/executor=slurm",
        "sweep.executor.cluster=local",
        "sweep.executor.poll_seconds=0.5",
        "sweep.jobs=2",
    ],
    "ray": ["sweep/executor=ray", "sweep.executor.cpus=1"],
}
pytestmark = pytest.mark.slow


def sweep(folder, *words):
    command = [sys.executable, "-m", "vit", "train", "-m", *SMALL, *words]
    command.append(f"hydra.sweep.dir={folder}")
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=500, env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("devices", ["1,2,1", "2,1,2"])
def test_mixed_process_counts_in_a_grid(tmp_path, executor, devices):
    pytest.importorskip({"local": "vit"}.get(executor, executor))
    folder = tmp_path / "sweep"
    code, said = sweep(folder, *EXECUTORS[executor], f"trainer.devices={devices}", "seed=0,1")
    assert code == 0, said
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    found = sorted((row["trainer.devices"], row["seed"], row["state"]) for row in rows)
    assert found == [(count, seed, "done") for count in "12" for seed in "01"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_unseeded_search_trains_one_config_in_both_processes(tmp_path, executor):
    pytest.importorskip({"local": "vit"}.get(executor, executor))
    folder = tmp_path / "sweep"
    words = ["sweep=optuna", "sweep.sampler.n_trials=2", "trainer.devices=2"]
    words += ["optim.lr=tag(log,interval(1e-3,1e-1))", "allow_targets=[rank_notes]"]
    words += ["schedule._target_=rank_notes.RankNotes"]
    code, said = sweep(folder, *EXECUTORS[executor], *words)
    assert code == 0, said
    trials = [file.parent for file in folder.glob("*/trial.json")]
    assert len(trials) == 2
    for trial in trials:
        config = yaml.safe_load((trial / "config.yaml").read_text())
        notes = [json.loads(file.read_text()) for file in sorted(trial.glob("rank-*.json"))]
        assert notes == [{"config": config_hash(config), "lr": config["optim"]["lr"]}] * 2
