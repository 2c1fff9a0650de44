"""A checkpoint in shards is read back as one file would be, and bad shards are told in words."""

import errno

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

from vit.faults import Refused
from vit.runs import shards
from vit.runs.checkpoint import look_at_checkpoint, read_checkpoint, write_checkpoint


@pytest.fixture(scope="module", autouse=True)
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def trained():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2).bfloat16())
    groups = [{"params": model[2].parameters()}, {"params": model[:2].parameters(), "lr": 0.1}]
    optimizer = torch.optim.AdamW(groups)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()
    return model, optimizer


def saved(folder, model, optimizer, name="step-000001-a"):
    content = {
        "state_dict": get_model_state_dict(model),
        "optimizer_states": [get_optimizer_state_dict(model, optimizer)],
        "global_step": 1,
        "exact_resume": {"states": [torch.arange(3)]},
    }
    path = folder / "last.ckpt"
    write_checkpoint(shards.write_shards(content, path, name, None), path)
    return path


def test_it_is_read_as_one_file_and_the_optimizer_goes_on_from_it(tmp_path):
    model, optimizer = trained()
    content = read_checkpoint(saved(tmp_path, model, optimizer))
    wanted = model.state_dict()
    assert content["state_dict"].keys() == wanted.keys()
    for key, value in wanted.items():
        assert content["state_dict"][key].dtype == value.dtype
        assert torch.equal(content["state_dict"][key], value)
    assert content["global_step"] == 1
    assert torch.equal(content["exact_resume"]["states"][0], torch.arange(3))
    again = trained()[1]
    again.load_state_dict(content["optimizer_states"][0])
    for group, other in zip(again.param_groups, optimizer.param_groups, strict=True):
        assert group["lr"] == other["lr"]
        for p, q in zip(group["params"], other["params"], strict=True):
            for key, value in optimizer.state[q].items():
                assert torch.equal(again.state[p][key], value)


def test_the_file_itself_holds_no_weight_and_nothing_is_a_pickle(tmp_path):
    path = saved(tmp_path, *trained())
    assert torch.load(path, weights_only=True)["state_dict"] == {}
    files = [file.name for file in (tmp_path / "shards" / "step-000001-a").iterdir()]
    assert files and all(name.endswith(".safetensors") for name in files)


def test_looking_tells_shapes_and_reads_no_weight(tmp_path):
    model, optimizer = trained()
    content = look_at_checkpoint(saved(tmp_path, model, optimizer))
    shapes = {key: value.shape for key, value in content["state_dict"].items()}
    assert shapes == {key: value.shape for key, value in model.state_dict().items()}
    assert all(value.is_meta for value in content["state_dict"].values())


@pytest.mark.parametrize("read", [read_checkpoint, look_at_checkpoint])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "remove all"])
def test_shards_that_are_damaged_or_gone_are_told(tmp_path, read, harm):
    path = saved(tmp_path, *trained())
    (file,) = (tmp_path / "shards" / "step-000001-a").iterdir()
    content = bytearray(file.read_bytes())
    if harm == "flip":
        content[-3] ^= 1
        file.write_bytes(content)
    elif harm == "cut":
        file.write_bytes(content[:-7])
    else:
        file.unlink()
        if harm == "remove all":
            file.parent.rmdir()
    wanted = {"flip": "another checksum", "cut": "another checksum", "remove": "lacks a part"}
    with pytest.raises(Refused, match=wanted.get(harm, "is not there")):
        read(path)


def test_each_process_verifies_its_part(tmp_path):
    path = saved(tmp_path, *trained())
    content = torch.load(path, weights_only=True)
    (file,) = (tmp_path / "shards" / "step-000001-a").iterdir()
    file.write_bytes(b"")
    shards.verify(content, path, rank=1, world_size=2)  # there is one file, rank 0's
    with pytest.raises(Refused):
        shards.verify(content, path, rank=0, world_size=2)


def test_a_folder_outside_is_never_read(tmp_path):
    path = saved(tmp_path, *trained())
    content = torch.load(path, weights_only=True)
    content["shards"]["folder"] = "../../elsewhere"
    write_checkpoint(content, path)
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    with pytest.raises(Refused, match=r"shards/elsewhere is not there"):
        read_checkpoint(path)


def test_a_newer_one_replaces_the_older_and_its_shards(tmp_path):
    model, optimizer = trained()
    saved(tmp_path, model, optimizer, "step-000001-a")
    saved(tmp_path, model, optimizer, "step-000002-b")
    assert len(list((tmp_path / "shards").iterdir())) == 2
    shards.drop_unused(tmp_path)
    assert [folder.name for folder in (tmp_path / "shards").iterdir()] == ["step-000002-b"]
    read_checkpoint(tmp_path / "last.ckpt")


def test_a_full_disk_leaves_the_checkpoint_before_and_no_shards(tmp_path, monkeypatch):
    model, optimizer = trained()
    path = saved(tmp_path, model, optimizer)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match=r"disk is full: .*last.ckpt before is as it was") as told:
            saved(tmp_path, model, optimizer, "step-000002-b")
    assert told.value.errno == errno.ENOSPC
    assert [folder.name for folder in (tmp_path / "shards").iterdir()] == ["step-000001-a"]
    read_checkpoint(path)
