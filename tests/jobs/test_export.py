"""An exported file holds the run's weights, by its names or timm's, and says what they are."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vit.cli.compose import compose
from vit.facts import Facts
from vit.faults import Refused
from vit.jobs.export import export
from vit.models.pretrained import TimmBackbone
from vit.runs.checkpoint import write_checkpoint
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_model

FACTS = Facts(3, ("cat", "dog", "hen"), (32, 32), 1, (0.5,), (0.25,))


def run(path, *words, average=False):
    """A run's folder as a training leaves it, with a model that was not trained."""
    folder = RunFolder(path)
    folder.freeze(compose([*words, "tracking=none", "threads=1"]))
    model = assemble_model(folder.config(), FACTS)
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    content = {"state_dict": weights, "facts": dataclasses.asdict(FACTS), "global_step": 7}
    if average:
        content["trained_weights"] = {key: value + 1 for key, value in weights.items()}
    write_checkpoint(content, folder.best_checkpoint)
    return folder, model


OURS = ("backbone.dim=16", "backbone.depth=1", "backbone.heads=2", "backbone.patch_size=8")
TIMM = ("backbone=timm", "backbone.name=test_vit")


def test_the_weights_make_the_same_model_again_from_the_header_alone(tmp_path):
    folder, model = run(tmp_path / "run", *OURS)
    result = export(str(folder.path), str(tmp_path / "a.safetensors"))
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        header = file.metadata()
    assert header["format"] == "pt" and header["schema_version"] == "1"
    assert json.loads(header["class_names"]) == ["cat", "dog", "hen"]
    assert json.loads(header["image_size"]) == [32, 32]
    assert json.loads(header["mean"]) == [0.5] and json.loads(header["std"]) == [0.25]
    again = assemble_model(json.loads(header["config"]), FACTS)
    again.load_state_dict(load_file(tmp_path / "a.safetensors"))
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(again.eval()(images), model.eval()(images))
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    assert result["step"] == 7 and [p.name for p in tmp_path.glob("a.*")] == ["a.safetensors"]


@pytest.mark.parametrize(("asked", "averaged"), [(None, True), (True, True), (False, False)])
def test_averaged_or_trained_weights_as_asked(tmp_path, asked, averaged):
    folder, model = run(tmp_path / "run", *OURS, average=True)
    result = export(str(folder.path), str(tmp_path / "a.safetensors"), average=asked)
    found = load_file(tmp_path / "a.safetensors")["head.linear.weight"]
    wanted = model.head.linear.weight + (0 if averaged else 1)
    assert torch.equal(found, wanted) and result["averaged"] == averaged


def test_an_average_that_was_not_kept_is_refused(tmp_path):
    folder, _ = run(tmp_path / "run", *OURS)
    with pytest.raises(Refused, match="kept no average"):
        export(str(folder.path), str(tmp_path / "a.safetensors"), average=True)
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize("timm_names", [False, True])
def test_a_backbone_of_timm_starts_from_the_file(tmp_path, timm_names):
    folder, model = run(tmp_path / "run", *TIMM)
    out = str(tmp_path / "a.safetensors")
    export(str(folder.path), out, timm_names=timm_names)
    again = TimmBackbone((32, 32), 1, name="test_vit", checkpoint=out)
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_timm_itself_reads_the_file(tmp_path):
    import timm

    folder, model = run(tmp_path / "run", *TIMM)
    out = str(tmp_path / "a.safetensors")
    export(str(folder.path), out, timm_names=True)
    options = {"num_classes": 0, "img_size": 32, "in_chans": 1, "global_pool": ""}
    again = timm.create_model("test_vit", checkpoint_path=out, **options)
    wanted = model.backbone.model.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in again.state_dict().items())


def test_timm_s_names_are_for_backbones_of_timm(tmp_path):
    folder, _ = run(tmp_path / "run", *OURS)
    with pytest.raises(Refused, match="backbone=timm"):
        export(str(folder.path), str(tmp_path / "a.safetensors"), timm_names=True)
