"""A checkpoint is complete or not there, and a bad one is told in words before anything is done."""

import errno
import sys

import pytest
import torch
from torch import nn

from vit.faults import Refused
from vit.runs.checkpoint import VERSION, misfit, read_checkpoint, write_checkpoint

CONTENT = {"state_dict": {"model.w": torch.arange(5000.0)}, "epoch": 3}


def written(path, **more):
    write_checkpoint({**CONTENT, **more}, path)
    return path


def test_what_was_written_is_read_with_the_version_of_its_form(tmp_path):
    content = read_checkpoint(written(tmp_path / "new" / "last.ckpt"))
    assert torch.equal(content["state_dict"]["model.w"], CONTENT["state_dict"]["model.w"])
    assert content["epoch"] == 3 and content["vit"]["checkpoint"] == VERSION
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["last.ckpt"]


def test_one_from_before_there_were_versions_is_read(tmp_path):
    torch.save(CONTENT, tmp_path / "old.ckpt")
    assert read_checkpoint(tmp_path / "old.ckpt")["epoch"] == 3


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_one_that_is_cut_short_is_refused(tmp_path, part):
    path = written(tmp_path / "last.ckpt")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(Refused, match=r"last.ckpt: is (cut short|empty).*remove it to begin anew"):
        read_checkpoint(path)


def test_one_flipped_bit_is_noticed_and_a_sound_one_beside_it_named(tmp_path):
    path = written(tmp_path / "last.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # torch itself does not notice
    (tmp_path / "worse.ckpt").write_bytes(b"nothing")
    written(tmp_path / "best.ckpt")
    with pytest.raises(Refused, match=r"another checksum; best.ckpt beside it is sound"):
        read_checkpoint(path)


def test_one_of_a_newer_vit_is_refused_by_name(tmp_path):
    newer = {**CONTENT, "vit": {"checkpoint": VERSION + 1, "version": "9.1"}}
    torch.save(newer, tmp_path / "last.ckpt")
    with pytest.raises(Refused, match=r"written by vit 9.1.*install that version"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}, "code": print}])
def test_what_is_no_checkpoint_of_a_run_or_holds_code_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(
        Refused, match=r"no `state_dict`|it holds a list|which is code to whoever reads it"
    ):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_told_and_the_checkpoint_before_stays(tmp_path):
    path = written(tmp_path / "last.ckpt")
    before = path.read_bytes()
    (tmp_path / "last.ckpt.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"the disk is full: .*The last.ckpt before is as it") as told:
        write_checkpoint({"state_dict": {"model.w": torch.rand(100_000)}}, path)
    assert told.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_weights_of_another_model_are_named():
    model = nn.Linear(3, 4)
    assert misfit(model.state_dict(), model.state_dict()) is None
    assert misfit(nn.Linear(3, 5).state_dict(), model.state_dict()) == (
        "the checkpoint is of another architecture: bias is (5,), wanted (4,); "
        "weight is (5, 3), wanted (4, 3)"
    )
    many = misfit({f"layer{n}": torch.ones(1) for n in range(9)}, model.state_dict())
    assert "2 of 2 tensors missing, 9 unknown: lacks bias" in many
    assert "has an unknown layer1; and 7 more" in many
    long = misfit({"x" * 5000: torch.ones(1)} | model.state_dict(), nn.Linear(9, 9).state_dict())
    assert len(long) < 300
