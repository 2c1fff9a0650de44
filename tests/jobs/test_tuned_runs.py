"""Runs that train a part of their model: killed, gone on with, sharded, loaded and started from."""

import time

import pytest
import torch
import yaml
from kills import losses, start
from safetensors.torch import load_file

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.cli.main import main
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_data, assemble_model
from vit.trained import load

pytestmark = pytest.mark.slow
WORDS = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=2",
    "backbone.drop_path=0.2",
    "backbone.dropout=0.1",
    "optim.layer_decay=0.7",
    "optim.weight_decay=0.5",
    "tracking=none",
    "threads=1",
    "trainer.max_epochs=4",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "checkpoint.every_n_steps=5",
]
TUNINGS = ("head", "last_blocks", "bias", "lora")


def frozen(path, *words):
    folder = RunFolder(path)
    folder.freeze(compose([*WORDS, *words]))
    return folder


def finish(folder, devices=1):
    code = start(folder, devices).wait(200)
    assert code == 0, (folder.path / "said.txt").read_text() + folder.log_file.read_text()
    return torch.load(folder.last_checkpoint, weights_only=True)


def killed(folder, devices, steps=20):
    """As a run that has been killed without a word, with so many steps saved."""
    process, until = start(folder, devices), time.monotonic() + 120
    while time.monotonic() < until:
        time.sleep(0.02)
        if folder.last_checkpoint.exists():
            saved = torch.load(folder.last_checkpoint, weights_only=True)["global_step"]
            if saved >= steps:
                break
    process.kill()
    process.wait(60)
    time.sleep(3)  # what it had started ends by itself
    return folder


def at_the_start(config):
    torch.manual_seed(0)
    from pytorch_lightning import seed_everything

    seed_everything(config["seed"], verbose=False)
    return assemble_model(config, assemble_data(config).facts)


@pytest.mark.parametrize("ema", ["none", "standard"])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_training_leaves_what_is_frozen_bit_for_bit(tmp_path, tuning, ema):
    folder = frozen(tmp_path / "run", f"tuning={tuning}", f"ema={ema}", "trainer.max_epochs=3")
    content = finish(folder)
    model = at_the_start(folder.config())
    assert content["global_step"] >= 50
    compared = 0
    for name, parameter in model.named_parameters():
        same = torch.equal(content["state_dict"][f"model.{name}"], parameter)
        assert same is not parameter.requires_grad, name
        compared += same
    assert compared > 10
    trained = sum(parameter.requires_grad for parameter in model.parameters())
    (state,) = content["optimizer_states"]
    assert len(state["state"]) == trained
    assert len(content.get("trained_weights", range(trained))) == trained


@pytest.mark.parametrize("devices", [1, 2])
def test_a_killed_run_with_adapters_goes_on_bit_for_bit(tmp_path, devices):
    words = ["tuning=lora", "tuning.dropout=0.1", "ema=standard"]
    words += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"] if devices == 2 else []
    wanted = finish(frozen(tmp_path / "whole", *words), devices)
    found = finish(killed(frozen(tmp_path / "killed", *words), devices), devices)
    assert found["global_step"] == wanted["global_step"] == 72
    assert found["state_dict"].keys() == wanted["state_dict"].keys()
    for name, tensor in wanted["state_dict"].items():
        assert torch.equal(found["state_dict"][name], tensor), name


def test_adapters_saved_in_shards_by_two_go_on_with_one(tmp_path):
    words = ["tuning=lora", "ema=none", "backbone.drop_path=0", "backbone.dropout=0"]
    words += ["optim.lr=0.003", "trainer.gradient_clip_val=1.0"]
    alone = frozen(tmp_path / "alone", *words)
    finish(alone)
    sharded = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2"]
    folder = frozen(tmp_path / "two", *words, *sharded, "checkpoint.sharded=true")
    killed(folder, 2)
    config = folder.config()
    config["trainer"] |= {"devices": 1, "strategy": "auto"}
    config["checkpoint"]["sharded"] = False
    folder.config_file.write_text(yaml.safe_dump(config))
    found = finish(folder)
    said, wanted = losses(folder), losses(alone)
    assert said.keys() == wanted.keys() and len(said) > 70
    worst = max(abs(said[key] - wanted[key]) for key in wanted)
    assert worst < 1e-5, worst  # as in test_sharded.py: sums in another order
    model = at_the_start(config)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(found["state_dict"][f"model.{name}"], parameter), name


def test_a_run_with_adapters_is_loaded_exported_and_started_from_without_them(tmp_path, capsys):
    folder = frozen(tmp_path / "run", "tuning=lora", "tuning.rank=4", "ema=none")
    content = finish(folder)
    loaded = load(folder.path, checkpoint="last")
    assert not any("lora" in name for name in loaded.model.state_dict())
    unmerged = at_the_start(folder.config()).eval()
    unmerged.load_state_dict(
        {name.removeprefix("model."): each for name, each in content["state_dict"].items()}
    )
    images = torch.randn(8, 1, 8, 8)
    expected = unmerged(images)
    torch.testing.assert_close(loaded.model(images), expected, rtol=0, atol=1e-5)
    for words, names in ((["--adapters"], "small"), ([], "whole")):
        file = str(tmp_path / f"{names}.safetensors")
        export = ["export", str(folder.path), "--checkpoint", "last", "--out", file, *words]
        assert main(export) == 0
    whole = load_file(tmp_path / "whole.safetensors")
    assert whole.keys() == loaded.model.state_dict().keys()
    small = load_file(tmp_path / "small.safetensors")
    adapters = [name for name in small if "lora" in name]
    assert len(adapters) == 2 * 2 and len(small) == len(adapters) + 2
    again = at_the_start(folder.config()).eval()
    again.load_state_dict(small, strict=False)
    assert torch.equal(again(images), expected)
    for words in (f"init={folder.path}", f"backbone.weights=run:{folder.path}"):
        report = preflight(compose([*WORDS, words]))
        assert not report.faults, report.faults
    capsys.readouterr()


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    "words",
    [
        ["experiment=digit_scenes"],
        ["experiment=digit_scenes", "head=tokens"],
        ["experiment=digit_masks"],
        ["experiment=digit_segments"],
        ["experiment=digit_captions"],
        ["experiment=number_words"],
        [
            "data=digits",
            "data.image_size=32",
            "backbone=timm",
            "backbone.name=vit_tiny_patch16_224",
        ],
        ["data=digits", "data.image_size=32", "backbone=timm", "backbone.name=resnet10t"],
    ],
    ids=" ".join,
)
def test_every_task_and_head_can_be_tuned(words, tuning):
    report = preflight(compose([*words, f"tuning={tuning}", "tracking=none"]))
    if tuning == "lora" and words[-1].endswith("resnet10t"):
        (fault,) = report.faults
        assert fault.where == "tuning" and "no linear layer that makes query" in str(fault)
        return
    cost = report.sound.cost
    assert cost.trained is not None and 0 < cost.trained < cost.parameters
    memory = report.sound.memory
    assert memory is None or memory.gradients == cost.trained * 4
