"""A run that goes on: with its own data, from its own checkpoint, or not without a word."""

import json
import os
import shutil
import signal
import warnings

import numpy as np
import pytest
from PIL import Image

from vit.cli import check as check_command
from vit.cli import predict as predict_command
from vit.cli import run as run_command
from vit.cli import train as train_command
from vit.data.core.membership import changes
from vit.faults import Refused
from vit.jobs import training
from vit.jobs.training import DONE, REFUSED, STOPPED, train
from vit.runs.continuity import (
    keep_stamp,
    lost_checkpoint,
    lost_record,
    refuse_changed_data,
)
from vit.runs.directory import RunFolder, content_of
from vit.runs.files import read_json
from vit.runs.record import read_records
from vit.runs.splits import Splits
from vit.runs.stamp import code
from vit.runs.writing import write_json
from vit.tasks.task import Task

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = [
    *("data=folder", "backbone.dim=8", "backbone.depth=1", "backbone.heads=1"),
    *("backbone.patch_size=8", "data.image_size=16", "data.batch_size=16", "trainer=cpu"),
    *("trainer.max_epochs=3", "schedule=constant", "schedule.warmup_epochs=0", "tracking=none"),
    *("threads=1", "checkpoint.keep_last=5", "data.test_fraction=0.2"),
]


def photos(root):
    rng = np.random.default_rng(0)
    for name, level in (("a", 40), ("b", 200)):
        (root / name).mkdir(parents=True)
        for number in range(20):
            pixels = (level + rng.integers(-20, 20, (16, 16, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def swap(root):
    for old, new in (("a", "x"), ("b", "a"), ("x", "b")):
        (root / old).rename(root / new)


@pytest.fixture(scope="module")
def here():
    """All in this process: a fresh one for each step would take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vit.runs.process.warm_up", lambda many=False: None)
        patch.setattr("vit.runs.process.call", _called)
        for command in ("vit.cli.screen", "vit.cli.check"):
            patch.setattr(f"{command}.show_report", lambda report: None)
        patch.setattr(train_command, "execute", lambda folder, config: train(folder.path))
        patch.setattr(signal, "signal", _quietly(signal.signal))
        yield


@pytest.fixture(scope="module")
def begun(here, tmp_path_factory):
    """The words, the folder and a copy of a run that was stopped after some steps."""
    home = tmp_path_factory.mktemp("begun") / "now"
    photos(home / "data")
    words = [*SMALL, f"data.root={home / 'data'}", f"hydra.run.dir={home / 'run'}"]
    step, seen = Task.on_train_batch_end, []

    def stop(self, *args):
        seen.append(1)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        patch.setattr(Task, "on_train_batch_end", stop)
        assert train_command.main(words) == STOPPED
    shutil.copytree(home, home.with_name("kept"))
    return words, home


@pytest.fixture
def stopped(begun):
    words, home = begun
    shutil.rmtree(home)
    shutil.copytree(home.with_name("kept"), home)
    return words, RunFolder(home / "run")


def _called(function, *arguments):
    import importlib

    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def _quietly(real):
    def signal_(number, handler):
        ignoring = handler is signal.SIG_IGN and number == signal.SIGTERM
        return None if ignoring else real(number, handler)

    return signal_


def fingerprint(folder):
    return read_json(folder.stamp_file)["data"]["fingerprint"]


def test_a_run_whose_data_changed_is_refused_until_the_user_says_otherwise(stopped, capsys):
    words, folder = stopped
    before = fingerprint(folder)
    swap(folder.path.parent / "data")
    with pytest.raises(Refused, match="begun with something else: the data") as refused:
        train_command.main(words)
    assert before in str(refused.value) and "--allow-changed" in str(refused.value)
    assert check_command.main(words) == 2
    assert "begun with something else" in capsys.readouterr().err
    assert fingerprint(folder) == before and folder.state().name == "stopped"
    assert train_command.main([*words, "--allow-changed"]) == DONE
    assert "the data (fingerprint" in capsys.readouterr().out
    told = read_json(folder.stamp_file)
    assert told["data"]["fingerprint"] != before
    assert [one["data"]["fingerprint"] for one in told["history"]] == [before]


def test_what_has_changed_in_the_data_is_told_where_the_run_knows(stopped, capsys):
    words, folder = stopped
    data = folder.path.parent / "data"
    shutil.copy(data / "a" / "0.png", data / "b" / "new.png")
    (data / "a" / "3.png").unlink()
    wanted = "1 more in train: b/new.png; 1 fewer in train: a/3.png"
    with pytest.raises(Refused) as refused:
        train_command.main(words)
    assert wanted in str(refused.value)
    assert check_command.main(words) == 2
    assert wanted in " ".join(capsys.readouterr().err.split())
    assert run_command.main([str(folder.path)]) == REFUSED
    assert wanted in folder.state().error


def test_changes_of_data_are_told_part_by_part():
    sources = {"train": "train", "val": "train", "test": "test"}

    def splits(**members):
        return Splits("image", "file", sources, members)

    before = splits(train=[b"a", b"b"], val=[b"c"], test=[b"x"])
    assert changes(before, splits(train=[b"a", b"c"], val=[b"b", b"d"], test=[])) == [
        "1 more in train: d",
        "1 fewer in test: x",
    ]
    many = [b"%d" % number for number in range(1000)]
    (told,) = changes(before, splits(train=[b"a", b"b", *many], val=[b"c"], test=[b"x"]))
    assert told == "1,000 more in train: 0, 1, 2 and 997 others"
    (told,) = changes(before, splits(train=[b"a", b"c"], val=[b"b"], test=[b"x"]))
    assert told == "2 of train are in another split than before"
    assert "other contents or labels" in changes(before, before)[0]


@pytest.mark.slow
def test_the_frozen_run_alone_notices_changed_data_too(stopped, capsys):
    _, folder = stopped
    before = fingerprint(folder)
    swap(folder.path.parent / "data")
    assert run_command.main([str(folder.path)]) == REFUSED
    assert "begun with something else" in folder.state().error
    assert "begun with something else" in capsys.readouterr().err
    assert run_command.main([str(folder.path), "--allow-changed"]) == DONE
    assert read_json(folder.stamp_file)["history"][0]["data"]["fingerprint"] == before


def test_a_run_with_its_own_data_goes_on_without_a_word(stopped, capsys):
    words, folder = stopped
    assert train_command.main(words) == DONE
    assert "changed" not in capsys.readouterr().out
    assert "history" not in read_json(folder.stamp_file)


@pytest.mark.slow
def test_a_run_that_lost_its_checkpoint_says_that_it_begins_again(stopped, capsys):
    words, folder = stopped
    folder.last_checkpoint.unlink()
    assert train_command.main(words) == DONE
    said = capsys.readouterr().err
    assert "begins from step 0 again, since" in said and "record reaches step" in said


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["all of it", "its end"])
def test_a_run_that_lost_its_record_is_refused_until_the_user_says_otherwise(stopped, capsys, lost):
    words, folder = stopped
    lines = folder.metrics_file.read_text().splitlines(keepends=True)
    if lost == "all of it":
        folder.metrics_file.unlink()
    else:
        folder.metrics_file.write_text(lines[0])
    assert train_command.main(words) == REFUSED
    error = folder.state().error
    assert ("is not there" if lost == "all of it" else "ends at step ") in error
    assert "metrics.jsonl" in error and "--allow-changed" in error
    assert run_command.main([str(folder.path), "--allow-changed"]) == DONE
    assert "is lost" in capsys.readouterr().err


def test_a_run_that_was_never_trained_has_lost_nothing(tmp_path):
    folder = RunFolder(tmp_path)
    assert lost_checkpoint(folder, 0.0) is None
    assert "step 0 again" in lost_checkpoint(folder, 3.0)
    assert lost_record(folder, 3, 0) is None  # its first record was still to come
    assert "is not there" in lost_record(folder, 53, 50)


@pytest.mark.slow
def test_a_finished_run_goes_on_from_another_checkpoint_that_is_copied_in(stopped, capsys):
    words, folder = stopped
    assert train_command.main(words) == DONE
    results, ended = folder.results(), content_of(folder.last_checkpoint)
    records = read_records(folder.metrics_file)
    assert train_command.main(words) == DONE and "done already" in capsys.readouterr().out
    same = folder.checkpoints / "same.ckpt"
    shutil.copy(folder.last_checkpoint, same)
    same.replace(folder.last_checkpoint)  # another file and another time, the same content
    assert folder.is_done()
    kept = sorted(folder.checkpoints.glob("*.ckpt"), key=os.path.getmtime)
    first = next(file for file in kept if content_of(file) != ended and "best" not in file.name)
    shutil.copy(first, folder.last_checkpoint)
    assert not folder.is_done()
    assert train_command.main(words) == DONE
    said = capsys.readouterr().out
    assert "done already" not in said and "goes on" in said
    assert folder.is_done() and content_of(folder.last_checkpoint) is not None
    again = folder.results()
    assert {**again, "timing": 0} == {**results, "timing": 0}
    told = [
        [(r.step, r.metrics) for r in rows] for rows in (records, read_records(folder.metrics_file))
    ]
    assert told[0] == told[1]


@pytest.mark.slow
def test_the_run_names_who_is_in_which_split_and_predicts_just_these(stopped, capsys):
    words, folder = stopped
    assert train_command.main(words) == DONE
    splits = read_json(folder.path / "splits.json")["splits"]
    everyone = sorted(name for names in splits.values() for name in names)
    data = folder.path.parent / "data"
    assert everyone == sorted(f.relative_to(data).as_posix() for f in data.rglob("*.png"))
    capsys.readouterr()
    assert predict_command.main([str(folder.path), "--split", "test", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    files = [str(data / name) for name in splits["test"]]
    assert told["split"] == "test" and [row["path"] for row in told["images"]] == files
    assert predict_command.main([str(folder.path), *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == told["images"]
    right = [
        row["class"] == name.split("/")[0]
        for row, name in zip(told["images"], splits["test"], strict=True)
    ]
    assert sum(right) / len(right) == pytest.approx(folder.results()["metrics"]["test/accuracy"])
    for asked, said in (("nope", "only train, val, test"), ("val", "not in the data any more")):
        (data / splits["val"][0]).unlink(missing_ok=True)
        with pytest.raises(Refused, match=said):
            predict_command.main([str(folder.path), "--split", asked])
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(Refused, match="data"):
        predict_command.main([str(folder.path), "--split", "test"])
    with pytest.raises(Refused, match="--split"):
        predict_command.main([str(folder.path)])


@pytest.mark.slow
def test_a_signal_after_the_end_changes_nothing(stopped, monkeypatch, capsys):
    words, folder = stopped

    def signalled(folder, config):
        with monkeypatch.context() as patch:
            patch.setattr(training, "_finish", lambda *_: signal.raise_signal(signal.SIGTERM))
            with pytest.raises(SystemExit) as left:
                train(folder.path)
        assert left.value.code == 0
        return 143  # what an agent may still say of it

    monkeypatch.setattr(train_command, "execute", signalled)
    assert train_command.main(words) == 0
    told = capsys.readouterr()
    assert "test accuracy" in told.out and "failed" not in told.err
    assert folder.state().name == "done"


def test_other_weights_to_start_from_are_noted(tmp_path):
    folder = RunFolder(tmp_path)
    first = {"created": "a", "command": "x", "init": {"run": "r", "content": "1" * 40}}
    keep_stamp(folder, first)
    assert keep_stamp(folder, {"created": "b"}) == []  # of a run that goes on nothing is read
    second = {"created": "c", "init": {"run": "r", "content": "2" * 40}}
    assert keep_stamp(folder, second) == ["the weights of init (11111111 → 22222222)"]
    kept = read_json(folder.stamp_file)
    assert kept["init"] == second["init"] and kept["history"][0]["init"] == first["init"]


def test_other_code_is_noted_and_not_refused(tmp_path):
    folder = RunFolder(tmp_path)
    first = {"created": "a", "command": "x", "code": code(), "data": {"fingerprint": "1"}}
    assert keep_stamp(folder, first) == []
    other = {**first, "code": {**code(), "vit": "another"}, "created": "b"}
    assert keep_stamp(folder, other) == ["the code of vit"]
    packages = {**code()["packages"], "torch": "0.1"}
    (told,) = keep_stamp(folder, {**other, "code": {"vit": "another", "packages": packages}})
    assert told.startswith("packages: torch") and "→ 0.1" in told
    kept = read_json(folder.stamp_file)
    assert kept["created"] == "a" and len(kept["history"]) == 2
    refuse_changed_data(folder, "2")  # nothing was trained yet
    folder.metrics_file.write_text("{}\n")
    with pytest.raises(Refused, match="1 → 2"):
        refuse_changed_data(folder, "2")
    refuse_changed_data(folder, "1")


def test_odd_stamps_stop_nobody(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text("{}\n")
    for stamp in ({}, {"data": 3}, {"data": {"fingerprint": None}}, {"code": 4, "history": 2}):
        write_json(folder.stamp_file, stamp)
        refuse_changed_data(folder, "2")
        keep_stamp(folder, {"code": code(), "data": {"fingerprint": "2"}})
    folder.stamp_file.write_text(json.dumps([1]))
    with pytest.raises(Refused, match="a list; wanted a mapping"):  # no stamp at all
        refuse_changed_data(folder, "2")


def test_the_content_of_a_checkpoint_needs_no_name_and_no_whole_file(tmp_path):
    import torch

    weights = {"w": torch.arange(6.0)}
    torch.save(weights, tmp_path / "one.ckpt")
    torch.save(weights, tmp_path / "two.ckpt")
    torch.save({"w": torch.arange(6.0) + 1}, tmp_path / "other.ckpt")
    one, two, other = (content_of(tmp_path / f"{n}.ckpt") for n in ("one", "two", "other"))
    assert one == two != other
    (tmp_path / "cut").write_bytes((tmp_path / "one.ckpt").read_bytes()[:100])
    assert content_of(tmp_path / "cut") is content_of(tmp_path / "none") is None


def test_a_stamp_that_cannot_be_read_is_neither_ignored_nor_lost(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text("")
    cut = '{"git": {"commit": "abc"}, "data": {"finger'
    folder.stamp_file.write_text(cut)
    with pytest.raises(Refused, match=r"stamp\.json: is cut short.*--allow-changed"):
        refuse_changed_data(folder, "f" * 32)
    (told,) = keep_stamp(folder, {"data": {"fingerprint": "f" * 32}})
    assert "stamp.unreadable.json" in told
    assert (tmp_path / "stamp.unreadable.json").read_text() == cut
    refuse_changed_data(folder, "f" * 32)
