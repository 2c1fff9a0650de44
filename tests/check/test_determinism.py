"""trainer.deterministic=true trains, and what it would refuse on a GPU is known before."""

import os

import pytest
import torch
from torch import nn

from vit.check.determinism import determinism, refused_operations
from vit.check.preflight import preflight
from vit.cli.compose import compose, written_out
from vit.facts import facts_from_summary
from vit.jobs.training import train
from vit.runs.directory import RunFolder
from vit.runs.fingerprints import first_divergence

CONFIG = {
    "trainer": {"precision": "32-true"},
    "task": {"_target_": "vit.tasks.classification.Classification"},
    "allow_targets": [],
}
FACTS = facts_from_summary({"image_size": (8, 8), "channels": 1, "num_classes": 3})


class Resizes(nn.Sequential):
    def __init__(self, mode):
        super().__init__(
            nn.Conv2d(1, 1, 1),
            nn.Upsample(scale_factor=2, mode=mode),
            nn.Flatten(),
            nn.Linear(256, 3),
        )


@pytest.mark.parametrize(
    ("mode", "refused"),
    [
        ("bicubic", ["interpolate, bicubic"]),
        ("bilinear", ["interpolate, bilinear"]),
        ("nearest", []),
    ],
)
def test_operations_without_a_deterministic_form_are_found(mode, refused):
    with torch.device("meta"):
        model = Resizes(mode)
    assert refused_operations(model, CONFIG, FACTS, 2) == refused


@pytest.fixture
def small():
    return compose(
        written_out(
            [
                "experiment=digits",
                "--deterministic",
                "backbone.dim=16",
                "backbone.depth=1",
                "trainer.max_epochs=1",
                "schedule.warmup_epochs=0",
                "tracking=none",
                "watch.fingerprints=true",
                "watch.weights_every=1",
            ]
        )
    )


def test_the_check_says_that_nothing_is_refused(small):
    report = preflight(small)
    assert report.faults == []
    summary = "deterministic; PyTorch refuses nothing that the model does"
    assert report.to_plain()["deterministic"] == summary
    assert "deterministic" not in preflight(compose(["experiment=digits"])).to_plain()


def test_a_refused_operation_is_a_fault_on_a_gpu_only(small, monkeypatch):
    monkeypatch.setattr("vit.check.determinism.refused_operations", lambda *_: ["grid_sample"])
    report, fault = determinism(small, FACTS, 2)
    assert report.summary == "deterministic on the CPU; on a GPU PyTorch refuses grid_sample"
    assert fault is None
    on_gpu = {**small, "trainer": {**small["trainer"], "accelerator": "gpu"}}
    _, fault = determinism(on_gpu, FACTS, 2)
    assert fault.where == "trainer.deterministic"
    assert "trainer.deterministic=warn" in fault.message


@pytest.mark.filterwarnings("ignore")
def test_a_deterministic_run_trains_on_the_cpu_and_repeats_itself(small, tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        for name in ("a", "b"):
            folder = RunFolder(tmp_path / name)
            folder.freeze(small)
            assert train(folder.path) == 0
            assert torch.are_deterministic_algorithms_enabled()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
    assert first_divergence(tmp_path / "a", tmp_path / "b") is None
