"""FSDP2 on two processes (gloo, on the CPU) against DDP and one process, and resumed elsewhere."""

import shutil
import signal
import time

import pytest
import torch
import yaml
from kills import losses, start

from vit.cli.compose import compose
from vit.runs.directory import RunFolder
from vit.trained import load

pytestmark = pytest.mark.slow
WORDS = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=2",
    "optim=adamw",
    "optim.lr=0.003",
    "ema=none",
    "task.mixup=0.4",
    "task.cutmix=1.0",
    "tracking=none",
    "threads=1",
    "trainer.max_epochs=4",
    "trainer.gradient_clip_val=1.0",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "checkpoint.every_n_steps=5",
]
SHARDED = ("checkpoint.sharded=true",)
FSDP = ["trainer=fsdp", "trainer.devices=2"]


def finish(folder, devices):
    code = start(folder, devices).wait(200)
    assert code == 0, (folder.path / "said.txt").read_text() + folder.log_file.read_text()
    return losses(folder)


def freeze(path, *words):
    folder = RunFolder(path)
    folder.freeze(compose([*words, *WORDS]))
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return finish(freeze(tmp_path_factory.mktemp("runs") / "alone"), 1)


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    assert sum(name == "train/loss" for name, _ in found) > 50
    worst = max(abs(found[key] - wanted[key]) for key in wanted)
    print(f"largest difference of a loss: {worst:.1e}")
    assert worst < 1e-5


@pytest.mark.parametrize("trainer", ["fsdp", "ddp"])
def test_shards_on_two_processes_train_as_one_process_does(tmp_path, alone, trainer):
    folder = freeze(tmp_path / trainer, f"trainer={trainer}", "trainer.devices=2")
    assert_close(finish(folder, 2), alone)
    saved = torch.load(folder.last_checkpoint, weights_only=True)
    assert all(type(value) is torch.Tensor for value in saved["state_dict"].values())


@pytest.mark.parametrize("how", [(), SHARDED, (*SHARDED, "checkpoint.asynchronous=true")])
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_what_two_processes_saved_goes_on_in_another_number(tmp_path, alone, devices, how):
    folder = freeze(tmp_path / "two", *FSDP, *how)
    process = start(folder, 2)
    until = time.monotonic() + 100
    while (
        time.monotonic() < until
        and len(losses(folder) if folder.metrics_file.exists() else ()) < 25
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    step = torch.load(folder.last_checkpoint, weights_only=True)["global_step"]
    assert 20 <= step < 72 and folder.state().name == "preempted"
    other = RunFolder(tmp_path / "other")
    shutil.copytree(folder.path, other.path)
    config = folder.config()
    config["trainer"]["devices"] = devices
    if devices == 1:
        config["trainer"]["strategy"] = "auto"
        config["checkpoint"]["sharded"] = False
    other.config_file.write_text(yaml.safe_dump(config))
    assert_close(finish(other, devices), alone)
    in_shards = bool(how) and devices > 1
    assert ("shards" in torch.load(other.last_checkpoint, weights_only=True)) == in_shards
    left = len(list((other.checkpoints / "shards").glob("*")))
    assert left == (2 if in_shards else 0)  # of best.ckpt and of last.ckpt
    assert load(other.path, checkpoint="last").class_names == tuple("0123456789")
