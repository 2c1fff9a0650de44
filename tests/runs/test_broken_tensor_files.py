"""Broken checkpoints and weights of every form: read as they were written, or refused by name."""

import io
import json
import random
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from vit.faults import Refused
from vit.models.foreign import read_foreign
from vit.runs.checkpoint import look_at_checkpoint, read_checkpoint, write_checkpoint
from vit.runs.predictions import Predictions, predictions_file, read_predictions, write_predictions

TENSORS = {f"model.blocks.{n}.w": torch.arange(20.0) + n for n in range(4)}
CONTENT = {
    "state_dict": TENSORS,
    "optimizer_states": [{"state": {0: {"m": torch.ones(20)}}, "param_groups": [{"params": [0]}]}],
    "facts": {"tokenizer": json.dumps({"tokens": ["a", "b"]}), "class_names": ["ä", "b"]},
    "epoch": 3,
}


def sound(folder: Path) -> dict[str, tuple[bytes, str]]:
    """The bytes of a file of each form, and what it is called."""
    write_checkpoint(CONTENT, folder / "whole.ckpt")
    old = io.BytesIO()
    torch.save({"state_dict": TENSORS}, old, _use_new_zipfile_serialization=False)
    new = io.BytesIO()
    torch.save(TENSORS, new)
    told = Predictions(*(np.arange(9) for _ in range(3)), np.linspace(0, 1, 9))
    predictions = write_predictions(folder, "val", told).read_bytes()
    return {
        "checkpoint": ((folder / "whole.ckpt").read_bytes(), "last.ckpt"),
        "old": (old.getvalue(), "old.pth"),
        "new": (new.getvalue(), "new.pth"),
        "safetensors": (save(TENSORS), "w.safetensors"),
        "predictions": (predictions, "predictions-val.npz"),
    }


def bytes_changed(content: bytes, draw: random.Random) -> bytes:
    broken = bytearray(content)
    kind = draw.randrange(6)
    if kind == 0:
        return bytes(broken[: draw.randrange(len(broken))])
    if kind == 1:
        at = draw.randrange(len(broken))
        return bytes(broken[:at] + broken[at + draw.randrange(1, 40) :])
    if kind == 2:
        at = draw.randrange(len(broken))
        return bytes(broken[:at] + draw.randbytes(draw.randrange(1, 20)) + broken[at:])
    if kind == 3:  # in the first or the last bytes, where the structure is
        at = draw.randrange(min(200, len(broken)))
        broken[at if draw.random() < 0.5 else -1 - at] = draw.randrange(256)
        return bytes(broken)
    for _ in range(draw.choice((1, 1, 3, 30))):
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    return bytes(broken)


def structure_changed(content: bytes, draw: random.Random) -> bytes:
    """A sound archive, checksums and all, of pickled bytes that are not; or another header."""
    if content[:2] == b"PK":
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
            for member in old.infolist():
                part = old.read(member)
                if member.filename.endswith(("data.pkl", "version", "byteorder", ".npy")):
                    part = bytes_changed(part, draw) if part else part
                if draw.random() > 0.02:
                    new.writestr(member.filename, part)
        return made.getvalue()
    if content[8:9] == b"{":
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        name = draw.choice(list(header))
        odd = [None, -1, 10**12, "F64", [], [10**12], {}, [[]], "x", 1.5, [0, 10**18]]
        if draw.random() < 0.2:
            header[name] = draw.choice(odd)
        else:
            header[name][draw.choice(["dtype", "shape", "data_offsets"])] = draw.choice(odd)
        told = json.dumps(header).encode()
        return struct.pack("<Q", len(told)) + told + content[8 + length :]
    return bytes_changed(content, draw)


def outcome(kind: str, path: Path) -> str:
    if kind == "predictions":
        return "none" if read_predictions(path.parent, "val") is None else "read"
    readers = [lambda: read_foreign(str(path))]
    if kind == "checkpoint":
        readers = [lambda: read_checkpoint(path), lambda: look_at_checkpoint(path)]
    told = "read"
    for read in readers:
        try:
            read()
        except (Refused, ValueError) as error:
            assert type(error) in (Refused, ValueError), repr(error)
            message = str(error)
            assert str(path) in message and len(message) < 700, message
            assert "weights_only" not in message and "Re-running" not in message
            assert message.isprintable()
            told = "refused"
    return told


def tried(tmp_path: Path, count: int, seed: int) -> dict[str, int]:
    files = sound(tmp_path)
    draw, seen = random.Random(seed), {"read": 0, "refused": 0, "none": 0}
    for turn in range(count):
        kind = list(files)[turn % len(files)]
        content, name = files[kind]
        flips = draw.random() < 0.5
        broken = (bytes_changed if flips else structure_changed)(content, draw)
        folder = tmp_path / "broken"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(broken)
        found = outcome(kind, path)
        seen[found] += 1
        if found == "read" and flips and kind == "checkpoint" and broken != content:
            # Of bytes that no checksum covers: then what was read is what was written.
            again = read_checkpoint(path)["state_dict"]
            assert all(torch.equal(again[key], value) for key, value in TENSORS.items())
        path.unlink()
    return seen


@pytest.fixture(autouse=True)
def no_more_memory_than(monkeypatch):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_hundred_broken_files_are_read_or_refused(tmp_path):
    seen = tried(tmp_path, 100, seed=1)
    assert seen["refused"] > 50 and sum(seen.values()) == 100


@pytest.mark.slow
def test_six_thousand_broken_files_are_read_or_refused(tmp_path):
    seen = tried(tmp_path, 6000, seed=2)
    assert seen["refused"] > 3000 and sum(seen.values()) == 6000


def test_a_bomb_is_refused_in_a_moment(tmp_path):
    path = tmp_path / "last.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(50_000_000))
    with pytest.raises(Refused, match="is a packed zip archive, which torch never writes"):
        read_checkpoint(path)


def stretched(nbytes: int) -> bytes:
    """An archive with sound checksums whose pickle says that a tensor is longer than it is."""
    stream = io.BytesIO()
    torch.save({"state_dict": {"model.w": torch.ones(300)}}, stream)
    made = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(made, "w") as new:
        for member in old.infolist():
            part = old.read(member)
            if member.filename.endswith("data.pkl"):
                part = part.replace(b"M,\x01", b"J" + struct.pack("<i", nbytes))
            new.writestr(member.filename, part)
    return made.getvalue()


@pytest.mark.parametrize("numbers", [301, 10**6, 2**31 - 1])
def test_a_tensor_longer_than_its_bytes_is_never_looked_at(tmp_path, numbers):
    (tmp_path / "last.ckpt").write_bytes(stretched(numbers))
    with pytest.raises(Refused, match=r"speaks of a tensor of|which takes|is cut short, damaged"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_a_shape_of_a_million_millions_is_refused(tmp_path):
    torch.save({"state_dict": {"w": torch.ones(1).expand(10**6, 10**6)}}, tmp_path / "last.ckpt")
    with pytest.raises(Refused, match=r"w is 1000000×1000000, which takes 4,000.0 GB"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_files_of_predictions_are_never_pickles(tmp_path):
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(predictions_file(tmp_path, "val"), schema_version=1, split="val", index=objects)
    assert read_predictions(tmp_path, "val") is None
