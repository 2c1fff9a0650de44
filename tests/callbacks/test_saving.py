"""Written in the background: the same files, one at a time, and no failure goes unsaid."""

import threading

import pytest
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.checkpoints import saving
from vit.callbacks.checkpoints.saving import AtomicCheckpointIO, Background, held_copy, tidy
from vit.runs.checkpoint import read_checkpoint

pytestmark = LIGHTNING_TALKS


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_what_is_written_meanwhile_is_what_would_be_written_at_once(tmp_path):
    for how in (False, True):
        Toy(tmp_path / str(how), every_n_steps=4, asynchronous=how).fit()
    for name in ("best.ckpt", "last.ckpt"):
        at_once, meanwhile = (read_checkpoint(tmp_path / str(how) / name) for how in (False, True))
        assert same(at_once["state_dict"], meanwhile["state_dict"])
        assert same(at_once["optimizer_states"], meanwhile["optimizer_states"])
        for key in ("torch", "device"):  # beartype draws from Python's generator
            states = [content["exact_resume"]["processes"][0] for content in (at_once, meanwhile)]
            assert same(states[0]["random"][key], states[1]["random"][key])
            assert same(states[0]["recorded"], states[1]["recorded"])


def test_training_goes_on_while_a_file_is_written_and_does_not_change_it(tmp_path, monkeypatch):
    go_on, original = threading.Event(), saving.write_checkpoint

    def slow(*given):
        assert go_on.wait(10)
        original(*given)

    monkeypatch.setattr(saving, "write_checkpoint", slow)
    writer, weight = AtomicCheckpointIO(asynchronous=True), torch.zeros(3)
    writer.save_checkpoint({"state_dict": {"w": weight}}, tmp_path / "last.ckpt")
    weight += 1
    assert not (tmp_path / "last.ckpt").exists()
    go_on.set()
    assert writer.load_checkpoint(tmp_path / "last.ckpt")["state_dict"]["w"].tolist() == [0, 0, 0]


def test_one_is_written_at_a_time(tmp_path, monkeypatch):
    at_work, most = [], []

    def watched(content, path, also):
        at_work.append(path)
        most.append(len(at_work))
        threading.Event().wait(0.02)
        at_work.remove(path)

    monkeypatch.setattr(saving, "write_checkpoint", watched)
    writer = AtomicCheckpointIO(asynchronous=True)
    for number in range(5):
        writer.save_checkpoint({"state_dict": {}}, tmp_path / f"{number}.ckpt")
    writer.wait()
    assert most == [1] * 5


def test_a_write_that_fails_fails_the_run_and_leaves_the_one_before(tmp_path, monkeypatch):
    original = saving.write_checkpoint

    def full(content, path, also):
        if content["global_step"] == 12:
            raise OSError(28, "the disk is full")
        original(content, path, also)

    monkeypatch.setattr(saving, "write_checkpoint", full)
    toy = Toy(tmp_path, asynchronous=True, limit_val_batches=0)
    with pytest.raises(OSError, match="the disk is full"):
        toy.fit()
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 6
    assert toy.trainer.global_step == 18  # it is heard of at the next one


def test_an_error_is_raised_once():
    def fails():
        raise OSError("no")

    background = Background()
    background.start(fails)
    with pytest.raises(OSError, match="no"):
        background.wait()
    background.wait()


def test_a_copy_keeps_classes_and_shares_nothing():
    state = torch.nn.Linear(2, 2).state_dict()
    held = held_copy({"state_dict": state, "also": [(1, torch.ones(2, dtype=torch.bfloat16))]})
    assert type(held["state_dict"]) is type(state)
    assert same(dict(held["state_dict"]), dict(state))
    assert held["also"][0][1].dtype == torch.bfloat16
    pointers = {tensor.data_ptr() for tensor in state.values()}
    assert pointers.isdisjoint(tensor.data_ptr() for tensor in held["state_dict"].values())


def test_what_a_kill_left_half_written_is_removed_and_no_more(tmp_path):
    (tmp_path / "shards" / "old").mkdir(parents=True)
    (tmp_path / "shards" / "mine").mkdir()
    (tmp_path / "last.ckpt.part").write_bytes(b"half")
    content = {"state_dict": {}, "shards": {"folder": "mine", "files": {}}}
    torch.save(content, tmp_path / "last.ckpt")
    tidy(tmp_path)
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["mine"]
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "last.ckpt"}
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    (tmp_path / "shards" / "whose").mkdir()
    tidy(tmp_path)  # the damaged one may name any of them
    assert len(list((tmp_path / "shards").iterdir())) == 2
