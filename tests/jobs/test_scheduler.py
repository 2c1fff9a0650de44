"""Lightning knows a scheduler of its own accord; a run of ours is started by `vit` alone."""

import pytest
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment

from vit.cli.compose import compose
from vit.jobs.evaluation import evaluate
from vit.jobs.training import train
from vit.runs.directory import RunFolder
from vit.tasks.trainer import launched_by

WORDS = [
    "experiment=digits",
    "backbone.dim=8",
    "backbone.heads=2",
    "backbone.depth=1",
    "optim=adamw",
    "schedule.warmup_epochs=0",
    "trainer.max_steps=2",
    "tracking=none",
    "threads=1",
]
JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x", "SLURM_NTASKS": "4", "SLURM_PROCID": "1"}


@pytest.fixture
def login_node(tmp_path, monkeypatch):
    """`srun` on the path, as on any cluster."""
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=":")
    return monkeypatch


@pytest.mark.parametrize("environment", [{}, JOB], ids=["login node", "in a job of four tasks"])
@pytest.mark.filterwarnings("error:The `srun` command")
def test_neither_warns_nor_takes_the_jobs_tasks_for_the_runs(login_node, tmp_path, environment):
    for name, value in environment.items():
        login_node.setenv(name, value)
    folder = RunFolder(tmp_path / "run")
    folder.freeze(compose(WORDS))
    assert train(folder.path) == 0
    log = folder.log_file.read_text()
    assert "srun" not in log and "requeue" not in log
    assert evaluate(str(folder.path), None, None, "best", "cpu", ())["images"] == 401


def test_torchruns_agent_is_recognised_inside_of_a_job(login_node):
    for name, value in JOB.items():
        login_node.setenv(name, value)
    assert isinstance(launched_by(), LightningEnvironment)
    login_node.setenv("TORCHELASTIC_RUN_ID", "1")
    assert isinstance(launched_by(), TorchElasticEnvironment)
