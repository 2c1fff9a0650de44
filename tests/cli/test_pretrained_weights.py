"""`backbone.weights=file:…` as a word: the architecture follows, contradictions are refused."""

import json
import shutil

import pytest
import timm
import torch
from commands import command as vit
from safetensors.torch import save_file

from vit.cli.compose import compose
from vit.cli.pretrained_keys import said
from vit.faults import Refused
from vit.models.pretrained.keys import other_normalisation
from vit.models.pretrained.sources import read_source
from vit.trained import load

WEIGHTS = "backbone.weights"
SIZES = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=7, **SIZES)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"architecture": "vit_tiny_patch16_224", "model_args": SIZES}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def words(weights, *more):
    return ["data=digits", "threads=1", f"backbone.weights=file:{weights}", *more]


def faults(*given):
    with pytest.raises(Refused) as raised:
        compose(list(given))
    return {fault.where: fault.message for fault in raised.value.faults}


def test_the_architecture_is_that_of_the_weights(weights):
    backbone = compose(words(weights, "backbone.drop_path=0.1"))["backbone"]
    assert [backbone[key] for key in ("dim", "depth", "heads", "patch_size")] == [32, 2, 2, 4]
    assert backbone["class_token"] and backbone["prefix_positions"] == 1
    assert backbone["drop_path"] == 0.1  # no weight depends on it
    assert backbone["position"]["resize"] == "bicubic_antialias"


def test_keys_that_contradict_are_refused_by_name(weights):
    found = faults(*words(weights, "backbone.depth=12", "backbone/position=rope"))
    assert found["backbone.depth"].startswith("is 12; these weights have 2.")  # though the default
    assert "AxialRope; these weights have LearnedPosition" in found["backbone.position"]
    found = faults(*words(weights, "backbone=vit_s"))
    assert {"backbone.dim", "backbone.heads"} <= found.keys()
    compose(words(weights, "backbone.depth=2"))


def test_how_a_table_is_resized_may_be_chosen(weights):
    given = words(weights, "backbone.position.resize=bicubic", "backbone.norm.eps=1e-5")
    backbone = compose(given)["backbone"]
    assert backbone["position"]["resize"] == "bicubic" and backbone["norm"]["eps"] == 1e-5


def test_what_is_no_file_is_a_fault_of_that_key(tmp_path):
    assert "does not exist" in faults(*words(tmp_path / "none.pth"))["backbone.weights"]
    found = faults("data=digits", "backbone.weights=vit_tiny_patch16_224")
    assert "wanted timm:NAME" in found["backbone.weights"]


def test_nothing_else_is_said_of_a_model_whose_weights_are_not_known(weights):
    given = words(weights / "none", "optim.lr=-1")
    with pytest.raises(Refused, match="does not exist") as raised:
        compose(given)
    assert raised.value.rest is None
    assert "names no weights; wanted timm:NAME" in faults("backbone.weights=run:")[WEIGHTS]
    assert faults("backbone.weights=rum:x")[WEIGHTS].endswith("RUN_DIR. Did you mean 'run'?")


def test_keys_that_words_set():
    assert said("backbone.depth=3") == "depth" and said("+backbone.mlp.width=8") == "mlp.width"
    assert said("backbone/position=rope") == "position" and said("data.root=x") == ""


def test_images_that_are_normalised_otherwise_than_the_weights_know_are_said(weights):
    colours = ["data=cifar10", "threads=1", f"backbone.weights=file:{weights}"]
    assert other_normalisation(f"file:{weights}", [0.5] * 3, [0.5] * 3) is None
    said = other_normalisation(f"file:{weights}", [0.485, 0.456, 0.406], [0.5] * 3)
    assert said is not None and "data.mean=[0.5,0.5,0.5] normalises as there" in said
    assert "data.std is [0.2, 0.5, 0.5]" in other_normalisation(
        f"file:{weights}", [0.5] * 3, [0.2, 0.5, 0.5]
    )
    assert other_normalisation(f"file:{weights}", [0.1], [0.2]) is None  # of grey images
    assert compose(colours)["backbone"]["dim"] == 32


def test_a_run_starts_from_them_and_needs_them_no_more(weights, tmp_path):
    copied = shutil.copytree(weights, tmp_path / "copy")
    run = tmp_path / "run"
    quick = ("trainer.max_epochs=1", "schedule.warmup_epochs=0", "tracking=none", "optim.lr=1e-9")
    accelerator = ("trainer.accelerator=cpu", "trainer.devices=1", f"hydra.run.dir={run}")
    done = vit("train", *words(copied, *quick, *accelerator, "watch.pictures=0"))
    assert "resized: position.table from 4x4 to 2x2" in done.stdout
    stamp = json.loads((run / "stamp.json").read_text())["weights"]
    assert stamp["source"] == f"file:{copied}" and len(stamp["sha256"]) == 64
    assert stamp["left_out"] == ["head.bias", "head.weight"] and len(stamp["resized"]) == 2
    shutil.rmtree(copied)
    trained = load(run)
    start = read_source(f"file:{weights}").state
    mine = trained.model.backbone.blocks[1].mlp.fc2.weight
    assert (mine - start["blocks.1.mlp.fc2.weight"]).abs().max() < 1e-5  # a rate of next to nothing
    again = read_source(f"run:{run}")
    assert torch.equal(again.state["blocks.1.mlp.fc2.weight"], mine.detach())
    assert again.keys["depth"] == 2 and "drop_path" not in again.keys
    vit("export", run, "--out", tmp_path / "out.safetensors")
    exported = read_source(f"file:{tmp_path / 'out.safetensors'}")
    assert exported.keys == again.keys and exported.state.keys() == again.state.keys()
