"""Models of timm with feature maps in whole runs: classes, boxes, maps; stopped, and killed."""

import json
import subprocess
import sys

import pytest
import torch

from vit.cli.compose import compose
from vit.jobs.evaluation import evaluate
from vit.jobs.training import DONE, train
from vit.runs.checkpoint import read_checkpoint
from vit.runs.directory import RunFolder
from vit.runs.record import read_records

TIMM = ["backbone=timm", "trainer=cpu", "threads=1", "ema=standard", "optim.lr=0.003"]
SCENES = ["data.train_scenes=32", "data.val_scenes=4", "data.test_scenes=4"]
CONVNEXT = ["backbone.name=test_convnext", "backbone.stages=[-3,-2,-1]"]
RESNET = ["backbone.name=test_resnet", "backbone.stages=[-2,-1]"]
BOXES = ["task=detection", "data=digit_scenes", "head=deformable", *SCENES, *TIMM, *CONVNEXT]
BOXES += ["checkpoint.monitor=val/ap", "checkpoint.mode=max", "head.num_layers=1", "head.width=32"]
BOXES += ["head.hidden=32", "head.cross_heads=4", "head.groups=2", "head.num_queries=10"]
MAPS = ["task=segmentation", "head=semantic", "data=digit_scenes_semantic", *SCENES, *TIMM, *RESNET]
MAPS += ["checkpoint.monitor=val/miou", "checkpoint.mode=max", "data.image_size=64"]
CLASSES = ["data=digits", "data.image_size=32", *TIMM, "trainer.limit_train_batches=8"]
CLASSES += ["trainer.limit_val_batches=2"]
KINDS = {
    "boxes": BOXES,
    "maps": MAPS,
    "classes": [*CLASSES, "backbone.name=test_efficientnet", "trainer.accumulate_grad_batches=2"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(kind, stopped_and_whole):
    stopped, whole = stopped_and_whole(KINDS[kind])
    assert len(whole["seen"]) >= 8 and len(stopped["seen"]) >= 6
    for key in ("weights", "optimizer", "metrics", "samples"):
        assert stopped[key] == whole[key], key
    if kind != "boxes":  # running statistics are among them
        (mean,) = [name for name in whole["weights"] if name.endswith("model.bn1.running_mean")]
        assert any(whole["weights"][mean])


def folder_of(path, words, *more):
    folder = RunFolder(path)
    folder.freeze(compose([*words, "tracking=none", "schedule.warmup_epochs=0.5", *more]))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["boxes", "maps"])
@pytest.mark.filterwarnings("ignore")
def test_a_loss_falls_on_real_batches(kind, tmp_path):
    folder = folder_of(tmp_path / "run", KINDS[kind], "trainer.max_epochs=8", "data.batch_size=8")
    assert train(folder.path) == DONE
    rows = [row.metrics for row in read_records(folder.metrics_file)]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_a_detector_on_maps_that_was_killed_ends_as_if_it_had_not_been(tmp_path):
    small = ["trainer.max_epochs=4", "data.batch_size=8", "checkpoint.every_n_steps=1"]
    outcomes = []
    for name in ("whole", "killed"):
        folder = folder_of(tmp_path / name, BOXES, *small)
        words = [sys.executable, "-m", "vit", "run", str(folder.path)]
        if name == "killed":
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and not folder.last_checkpoint.exists():
                pass
            process.kill()
            assert process.wait(60) == -9
        subprocess.run(words, check=True, capture_output=True, timeout=600)
        content = read_checkpoint(folder.last_checkpoint)
        metrics = folder.results()["metrics"]
        outcomes.append((content["state_dict"], content["trained_weights"], json.dumps(metrics)))
    for one, other in zip(*(outcome[:2] for outcome in outcomes), strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert outcomes[0][2] == outcomes[1][2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_validate_with_the_statistics_that_are_kept(tmp_path):
    """Those of the first process: with others the second's share would give another loss."""
    words = [*KINDS["classes"], "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=2"]
    more = ["trainer.accumulate_grad_batches=1", "trainer.limit_val_batches=1.0", "ema=none"]
    folder = folder_of(tmp_path / "run", words, *more)
    agent = [sys.executable, "-m", "vit.runs.agent", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*agent, "-m", "vit", "run", str(folder.path)], check=True, capture_output=True, timeout=600
    )
    rows = [row.metrics for row in read_records(folder.metrics_file)]
    recorded = [float(row["val/loss"]) for row in rows if "val/loss" in row]
    again = evaluate(str(folder.path), None, "val", "last", "cpu", ())
    assert len(recorded) == 2
    assert again["metrics"]["val/loss"] == pytest.approx(recorded[-1], rel=1e-5)
