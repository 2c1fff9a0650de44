"""Weights from anywhere: taken by the right prefix, or one line says what came instead."""

import io
import os
import pickle
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save, save_file

from vit.models.pretrained import TimmBackbone
from vit.runs.checkpoint import write_checkpoint

SIZE = (32, 32)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(2)
    model = timm.create_model("test_vit", num_classes=0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.state_dict()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refused(*_):
        raise AssertionError("looked at the network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refused)


def backbone(path, **options) -> TimmBackbone:
    return TimmBackbone(SIZE, 3, name="test_vit", checkpoint=str(path), **options)


def saved(path: Path, content) -> Path:
    torch.save(content, path)
    return path


def behind(prefix: str, state: dict) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"epoch": 3}, [], {"model": None}])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_file_without_weights_is_a_fault_and_the_hub_is_not_asked(tmp_path, content, device):
    path = saved(tmp_path / "empty.pth", content)
    with pytest.raises(ValueError, match=r"empty.pth' holds no weights"), torch.device(device):
        backbone(path)


def test_a_safetensors_file_without_tensors_too(tmp_path):
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ValueError, match="holds no weights: it is empty"):
        backbone(tmp_path / "empty.safetensors")


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def archive(content) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


HALF = save({"a": torch.ones(500)})
NO_FILES = {
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n",
        "git lfs pull",
    ),
    "html": (b"<!DOCTYPE html><html>404", "is a web page"),
    "text": (b"not found", "is text"),
    "json": (b'{"error": "no such file"}', "is text"),
    "nothing": (b"", "is empty"),
    "zeros": (bytes(9000), "zeros alone"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "packed by gzip"),
    "pickle": (pickle.dumps({"a": np.ones(3)}), "code to whoever reads it"),
    "code": (pickle.dumps(print), "code to whoever reads it"),
    "zip": (zipped(a=b"b"), "zip archive without tensors"),
    "npz": (zipped(**{"a.npy": b"b"}), "NumPy arrays"),
    "script": (zipped(**{"m/code/a.py": b"", "m/data.pklx": b""}), "TorchScript"),
    "half": (HALF[:900], "is half-read: its header promises 2,0"),
    "header": (HALF[:20], "header would have"),
    "cut": (archive({"a": torch.ones(900)})[:2000], "is cut short"),
    "bytearray": (archive({"a": bytearray(5)}), "bytearray"),
    "huge header": ((10**10).to_bytes(8, "little") + b"{" + bytes(99), "10,000,000,000 bytes"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_of_weights_is_reported_for_what_it_is(tmp_path, kind, ending):
    content, result = NO_FILES[kind]
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=result) as caught:
        backbone(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 400
    assert "weights_only" not in str(caught.value) and "Re-running" not in str(caught.value)


def test_folders_pipes_and_links_in_a_circle_are_reported(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    for name, result in (("", "is a folder"), ("pipe.pth", "is a pipe"), ("loop.pth", "symbolic")):
        with pytest.raises(ValueError, match=result):
            backbone(tmp_path / name)


PREFIXES = [
    "model.",
    "module.encoder.",
    "_orig_mod.vit.",
    "teacher.backbone.",
    "backbone.",
    "a.b.c.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_named_and_taken_by_its_key(tmp_path, state, prefix):
    path = saved(tmp_path / "w.pth", behind(prefix, state) | {"other.weight": torch.ones(3)})
    with pytest.raises(ValueError) as caught:
        backbone(path)
    asked = prefix.removesuffix(".")
    assert f"backbone.checkpoint_prefix={asked}" in str(caught.value)
    assert len(str(caught.value)) < 400
    taken = backbone(path, checkpoint_prefix=asked)
    assert torch.equal(taken.model.blocks[3].attn.qkv.weight, state["blocks.3.attn.qkv.weight"])
    assert "1 tensors of w.pth left out: other.weight" in taken.remarks[0]


@pytest.mark.parametrize("key", ["teacher", "student.backbone", "ema", "state_dict.net"])
def test_what_wraps_the_weights_is_named_as_a_prefix(tmp_path, state, key):
    content: dict = state
    for part in reversed(key.split(".")):
        content = {part: content}
    path = saved(tmp_path / "w.pth", {**content, "optimizer": {"state": {0: torch.ones(2)}}})
    with pytest.raises(ValueError, match=f"checkpoint_prefix={key}"):
        backbone(path)
    taken = backbone(path, checkpoint_prefix=key)
    assert torch.equal(taken.model.cls_token, state["cls_token"])


def test_a_run_of_our_own_gives_its_backbone(tmp_path, state):
    path = tmp_path / "best.ckpt"
    write_checkpoint({"state_dict": behind("model.backbone.model.", state)}, path)
    with pytest.raises(ValueError, match=r"checkpoint_prefix=state_dict\.model\.backbone\.model"):
        backbone(path)
    taken = backbone(path, checkpoint_prefix="model.backbone.model")
    assert torch.equal(taken.model.cls_token, state["cls_token"])


def test_averages_come_first_and_module_and_orig_mod_are_removed_as_ever(tmp_path, state):
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    ema = behind("_orig_mod.module.", state)
    path = saved(tmp_path / "w.pth", {"state_dict": zeros, "state_dict_ema": ema})
    assert torch.equal(backbone(path).model.cls_token, state["cls_token"])


def test_a_prefix_that_is_not_there_tells_which_are(tmp_path, state):
    path = saved(tmp_path / "w.pth", behind("model.", state))
    with pytest.raises(ValueError, match=r"begins with 'teacher\.'; they begin with model \(78\)"):
        backbone(path, checkpoint_prefix="teacher")
    with pytest.raises(ValueError, match=r"set backbone.checkpoint to one"):
        TimmBackbone(SIZE, 3, name="test_vit", checkpoint_prefix="teacher")


def test_a_masked_autoencoders_decoder_is_left_out_and_reported(tmp_path, state):
    more = {"mask_token": torch.ones(1, 1, 64), "decoder_blocks.0.w": torch.ones(2)}
    taken = backbone(saved(tmp_path / "mae.pth", {"model": state | more}))
    assert "2 tensors of mae.pth left out: mask_token, decoder_blocks.0.w" in taken.remarks[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("blocks.2.norm1.bias"), "lacks blocks.2.norm1.bias"),
        (lambda s: s.update({"blocks.6.norm1.bias": torch.ones(64)}), "has an unknown blocks.6"),
        (lambda s: s.update({"norm.bias": torch.ones(9)}), r"norm.bias is \(9,\), wanted \(64,\)"),
        (lambda s: s["norm.bias"].fill_(float("nan")), r"1 of 78 tensors: norm.bias \(NaN\)"),
        (lambda s: s["cls_token"].fill_(float("inf")), r"1 of 78 tensors: cls_token \(infinite\)"),
        (lambda s: [tensor.zero_() for tensor in s.values()], "zeros alone in all 78 tensors"),
        (lambda s: s.update({"pos_embed": torch.empty(10**9).expand(10**3, -1)}), "1000×10"),
    ],
)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_that_fit_in_part_or_are_no_numbers_are_refused(
    tmp_path, state, spoil, message, ending
):
    own = {name: tensor.clone() for name, tensor in state.items()}
    spoil(own)
    path = tmp_path / f"w{ending}"
    if ending == ".pth":
        if own["pos_embed"].ndim == 2:  # as a file would say it, without having the bytes
            own["pos_embed"] = torch.ones(1).expand(10**3, 10**9)
        torch.save(own, path)
    elif own["pos_embed"].ndim == 2:
        pytest.skip("the format has no such tensors")
    else:
        save_file(own, path)
    with pytest.raises(ValueError, match=message) as caught:
        backbone(path)
    assert len(str(caught.value)) < 400


def test_weights_of_no_vision_transformer_are_reported_in_a_line(tmp_path):
    path = saved(tmp_path / "resnet.pth", timm.create_model("resnet18").state_dict())
    with pytest.raises(
        ValueError, match=r"does not fit .test_vit.: .* 76 of 76 tensors missing"
    ) as e:
        backbone(path)
    assert len(str(e.value)) < 500
