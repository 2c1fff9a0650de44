"""Files of weights as they lie about are read, whatever wraps them; others say what they are."""

import json

import pytest
import timm
import torch
import torchvision
import transformers
from randomised import randomised
from safetensors.torch import save_file

from vit.models.backbone import ViT
from vit.models.pretrained.fitting import fitted
from vit.models.pretrained.origin import Unfit
from vit.models.pretrained.sources import read_source

TIMM = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 1}


@pytest.fixture(scope="module")
def theirs():
    return randomised(timm.create_model("vit_tiny_patch16_224", **TIMM))


def read(path):
    return read_source(f"file:{path}")


def ours_of(found, **more):
    from vit.build import build

    origin = found.origin
    return build(found.keys, (), image_size=origin.image_size, channels=origin.channels, **more)


WRAPPERS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "average": lambda state: {"model_ema": state, "model": {n: t + 1 for n, t in state.items()}},
    "DDP": lambda state: {"model": {f"module.{n}": t for n, t in state.items()}},
    "compile": lambda state: {f"_orig_mod.{n}": t for n, t in state.items()},
    "teacher": lambda state: {
        "teacher": {f"backbone.{n}": t for n, t in state.items()} | {"dino_head.w": torch.ones(1)},
        "student": {f"backbone.{n}": t + 1 for n, t in state.items()},
    },
    "lightning": lambda state: {"state_dict": {f"net.encoder.{n}": t for n, t in state.items()}},
}


@pytest.mark.parametrize("case", WRAPPERS)
def test_wrappers_are_taken_off(case, theirs, tmp_path):
    state = theirs.state_dict()
    torch.save(WRAPPERS[case](state), tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    assert torch.equal(found.state["blocks.1.mlp.fc2.weight"], state["blocks.1.mlp.fc2.weight"])
    assert found.keys["depth"] == 2 and found.keys["heads"] == 1
    assert found.origin.assumed[0] == "heads=1"  # nothing tells that
    assert ("dino_head.w" in found.left_out) == (case == "teacher")
    ours_of(found).load_state_dict(found.state)


def test_timms_config_beside_tells_what_tensors_do_not(theirs, tmp_path):
    half = {name: tensor.half() for name, tensor in theirs.state_dict().items()}
    save_file(half, tmp_path / "model.safetensors")
    arguments = {**TIMM, "num_heads": 4}
    config = {"architecture": "vit_tiny_patch16_224", "model_args": arguments}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = read(tmp_path)
    assert found.keys["heads"] == 4 and not found.origin.assumed
    assert len(found.sha256) == 64 and "head.weight" in found.left_out


def test_hugging_faces_files_of_before_transformers_5(tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ViTConfig(**sizes, intermediate_size=48, image_size=32, patch_size=8)
    theirs = randomised(transformers.ViTModel(config))
    older = {
        "layers.": "encoder.layer.",
        "attention.q_proj": "attention.attention.query",
        "attention.k_proj": "attention.attention.key",
        "attention.v_proj": "attention.attention.value",
        "attention.o_proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    state = {}
    for name, tensor in theirs.state_dict().items():
        for new, old in older.items():
            name = name.replace(new, old)
        state[f"vit.{name}"] = tensor
    torch.save({**state, "classifier.weight": torch.ones(2, 32)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="put the config"):
        read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    found = read(tmp_path)
    ours = ours_of(found)
    ours.load_state_dict(found.state)
    images = torch.randn(1, 3, 32, 32)
    features = ours.eval()(images)
    expected = theirs(images).last_hidden_state
    assert (torch.cat([features.prefix, features.patches], 1) - expected).abs().max() < 1e-5


def test_torchvisions_file(tmp_path):
    theirs = randomised(torchvision.models.VisionTransformer(32, 8, 1, 1, 64, 96))
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    found = read(tmp_path / "vit.pth")
    assert found.keys["heads"] == 1 and found.origin.resize == "bicubic_aligned"
    ours_of(found).load_state_dict(found.state)


def refused(tmp_path, content, name="w.pth"):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError) as raised:
        read(path)
    return str(raised.value)


@pytest.mark.parametrize(
    "tensors",
    [
        {"patch_embed.proj.weight": torch.ones(8, 3)},
        {"patch_embed.proj.weight": torch.ones(8, 3, 2, 2), "cls_token": torch.ones(())},
        {"patch_embed.proj.weight": torch.ones(8, 3, 2, 2), "pos_embed": torch.ones(2)},
        {"patch_embed.proj.weight": torch.ones(8, 3, 2, 2)},
        {"conv_proj.weight": torch.ones(8, 3, 2, 2)},
    ],
)
def test_tensors_of_no_known_model_are_refused_in_words(tmp_path, tensors):
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(Unfit, match=r"^file:"):
        read_source(f"file:{tmp_path / 'w.pth'}")


def test_a_config_beside_a_file_leads_to_no_other(tmp_path, theirs):
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    torch.save(theirs.state_dict(), tmp_path / "other.pth")
    config = {"architecture": "vit_tiny_patch16_224"}
    for wrong, message in (
        ({"checkpoint_path": str(tmp_path / "other.pth")}, "sets checkpoint_path"),
        ([1], "no mapping"),
        ({"embed_dim": "x"}, "not as such weights are made"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, "model_args": wrong}))
        with pytest.raises(Unfit, match=message):
            read_source(f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("config", '{"backbone": "x"}'), ("config", "[" * 100_000), ("image_size", "8")],
)
def test_a_header_of_anybody_is_refused_in_words(tmp_path, key, value):
    ours = {"config": '{"backbone": {"_target_": "vit.models.backbone.ViT"}}', "channels": "1"}
    header = {**ours, "image_size": "[8, 8]", "mean": "[0]", "std": "[1]", key: value}
    save_file({"patch.proj.weight": torch.ones(8, 4)}, tmp_path / "w.safetensors", header)
    with pytest.raises(Unfit, match=r"^file:"):
        read_source(f"file:{tmp_path / 'w.safetensors'}")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n"


def test_files_that_are_none_are_refused_with_what_they_are(tmp_path, theirs):
    state = theirs.state_dict()
    assert "0 bytes" in refused(tmp_path, b"")
    assert "LFS" in refused(tmp_path, POINTER)
    assert "fractions.Fraction" in refused(tmp_path, {"a": __import__("fractions").Fraction(1)})
    assert "holds no tensors" in refused(tmp_path, {"epoch": 1})
    assert "none of them is a patch embedding" in refused(tmp_path, {"layer.w": torch.ones(2)})
    nan = {**state, "norm.weight": state["norm.weight"] * float("nan")}
    assert "not finite" in refused(tmp_path, nan)
    two = {f"{who}.{n}": t for who in ("a", "b") for n, t in state.items()}
    assert "several vision transformers" in refused(tmp_path, two)
    assert "no place for: mystery.weight" in refused(
        tmp_path, {**state, "mystery.weight": torch.ones(3)}
    )
    eva = {**state, "blocks.0.mlp.fc1_g.weight": torch.ones(2)}
    assert "config.json" in refused(tmp_path, eva)
    with pytest.raises(ValueError, match="does not exist"):
        read(tmp_path / "nowhere.pth")
    with pytest.raises(ValueError, match="folder with none of"):
        read_source(f"file:{tmp_path}")


@pytest.mark.parametrize(
    "weights, wanted",
    [
        ("vit_tiny_patch16_224", "wanted timm:NAME"),
        ("tim:vit_tiny_patch16_224", "wanted timm:NAME"),
        ("timm:", "wanted timm:NAME"),
        ("timm:vit_tinny_patch16_224", "timm has no model"),
        ("torchvision:vit_b_17", "torchvision has no model"),
    ],
)
def test_sources_that_are_none(weights, wanted):
    with pytest.raises(ValueError, match=wanted):
        read_source(weights)


def test_names_of_hubs_go_to_their_libraries(monkeypatch, theirs):
    monkeypatch.setattr("vit.models.pretrained.sources.fetched", lambda name: {"fake": name})
    monkeypatch.setattr(
        "vit.models.pretrained.sources.create", lambda name, given, weights: (theirs, {})
    )
    found = read_source("timm:vit_tiny_patch16_224.augreg_in21k")
    assert found.origin.source == "timm:vit_tiny_patch16_224.augreg_in21k"
    assert torch.equal(found.state["class_token"], theirs.cls_token)


def test_a_table_and_a_kernel_are_fitted_and_said(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    state, done = fitted(found, (16, 48), 1)
    assert state["position.table"].shape == (2, 6, 64) and len(done) == 2
    grey = torch.randn(1, 1, 32, 32)
    one = ours_of(found, weights=f"file:{tmp_path / 'w.pth'}")
    other = ViT(
        (32, 32),
        1,
        **{k: v for k, v in found.keys.items() if isinstance(v, int | float | bool)},
        weights=f"file:{tmp_path / 'w.pth'}",
    )
    expected = one.eval()(grey.expand(-1, 3, -1, -1)).patches
    assert (other.eval()(grey).patches - expected).abs().max() < 1e-4
    assert any("1 channels" in remark for remark in other.remarks)
