"""A run looks at a few images once it is trained, and the page shows them without a command."""

import hashlib
import logging
import warnings

import pytest
import pytorch_lightning as lightning
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger

from vit.cli.compose import compose
from vit.explain import after_training
from vit.explain.after_training import examples, look_back
from vit.faults import Fault, Refused
from vit.jobs.training import DONE, train
from vit.review.report import build_report
from vit.review.sources import load
from vit.runs.directory import RunFolder
from vit.runs.files import read_json
from vit.runs.tracking import Untracked
from vit.runs.writing import write_json
from vit.tasks.assembly import assemble_data

WORDS = ["data=digits", "data.train_limit=64", "backbone=vit", "backbone.dim=16"]
WORDS += ["backbone.depth=1", "backbone.heads=2", "backbone.patch_size=4", "trainer=cpu"]
WORDS += ["trainer.max_epochs=1", "schedule.warmup_epochs=0", "threads=1", "tracking=none"]


class Wall(CSVLogger):
    """Keeps what is hung on it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.hung = {}

    def log_image(self, key, images, step, caption=()):
        self.hung.setdefault(key, []).append((images, step, caption))


def trained(folder, walls, *words):
    run = RunFolder(folder)
    run.freeze(compose([*WORDS, *words]))
    with pytest.MonkeyPatch.context() as patch:
        wall = walls[folder.name] = Wall(folder)
        patch.setattr(Untracked, "logger", lambda *_: wall)
        finished(run.path)


def finished(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning's
        assert train(folder) == DONE


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two configurations that look, the first of them once more without looking."""
    home, walls = tmp_path_factory.mktemp("runs"), {}
    trained(home / "a", walls)
    trained(home / "b", walls, "backbone.dim=24")
    trained(home / "blind", walls, "watch.attention=0")
    return home, walls


def test_maps_are_written_and_logged_once(runs):
    home, walls = runs
    result = read_json(home / "a" / "attend" / "val" / "attend.json")
    assert len(result["images"]) == 4
    for row in result["images"]:
        assert {"sheet", "image", "rollout", "relevance", "features"} == row["files"].keys()
        assert all((home / "a" / "attend/val" / file).is_file() for file in row["files"].values())
    for key in ("val/attention", "val/features"):
        ((images, step, words),) = walls["a"].hung[key]
        assert len(images) == len(words) == 4 and step == 1  # a step of 64 images
        assert words[0].startswith(result["images"][0]["path"])
    assert "relevance" in walls["a"].hung["val/attention"][0][2][0]
    log = (home / "a" / "log.txt").read_text()
    assert "Traceback" not in log and "no pictures" not in log


def test_looking_changes_no_number_and_zero_turns_it_off(runs):
    home, walls = runs
    a, blind = (RunFolder(home / name) for name in ("a", "blind"))
    assert not (home / "blind" / "attend").exists() and "val/attention" not in walls["blind"].hung
    assert a.results()["metrics"] == blind.results()["metrics"]
    one, other = (torch.load(run.best_checkpoint, weights_only=True) for run in (a, blind))
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, other["state_dict"][name])


def test_the_page_has_best_and_baseline_on_the_same_images(runs):
    home, _ = runs
    folders = [home / "a", home / "b"]
    # What a person has shown to one run alone takes nothing away.
    own = {"path": "own.png", "sha256": "own", "files": {"image": "own.png"}}
    write_json(home / "a" / "attend" / "attend.json", {"schema_version": 1, "images": [own]})
    first, second = build_report(load(folders, cache=False), folders).overall.looks
    samples = [picture.sample for picture in first.pictures]
    assert len(samples) == 16 and samples == [each.sample for each in second.pictures]
    assert len(set(samples)) == 4 and "own.png" not in samples
    assert {first.label, second.label} == {"dim=16", "dim=24"}


def again(home, most=4):
    data = assemble_data(RunFolder(home / "a").config())
    look_back(home / "a", data, most, trainer(), ())


def trainer():
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)


@pytest.mark.parametrize("error", [OSError("disk is full"), Refused([Fault("model", "is full")])])
def test_what_can_go_wrong_is_said_in_a_line(runs, monkeypatch, caplog, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(after_training, "looked_at", fails)
    with caplog.at_level(logging.WARNING, "vit"):
        again(runs[0])
    assert "no pictures of what it looks at: " in caplog.text and "is full" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_bug_is_reported_in_full_and_the_training_stands(runs, monkeypatch):
    def buggy(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(after_training, "looked_at", buggy)
    finished(runs[0] / "b")
    assert RunFolder(runs[0] / "b").is_done()
    log = (runs[0] / "b" / "log.txt").read_text()
    assert "what it looks at could not be drawn" in log and "KeyError: 'a bug'" in log


def test_texts_have_no_such_pictures(tmp_path):
    data = assemble_data(compose(["experiment=number_words"]))
    look_back(tmp_path, data, 4, trainer(), ())
    assert not list(tmp_path.iterdir())


def test_examples_depend_on_the_data_alone(runs):
    digits = [assemble_data(compose([*WORDS, f"seed={seed}"])) for seed in (0, 7)]
    one, other = ([each.sha256 for each in examples(data, 6)] for data in digits)
    assert one == other and len(set(one)) == 6
    assert one[:4] == [each.sha256 for each in examples(digits[0], 4)]  # fewer are the first
    assert len(examples(digits[0], 24)) == 24


def test_a_file_is_known_by_its_bytes_as_vit_attend_knows_it(tmp_path):
    for split in ("train", "val"):
        for name, grey in (("cat", 40), ("dog", 200)):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (8, 8), (grey, grey, number)).save(folder / f"{number}.png")
    data = assemble_data(compose(["data=folder", f"data.root={tmp_path}", "data.image_size=8"]))
    files = {
        hashlib.sha256(file.read_bytes()).hexdigest(): file.name
        for file in (tmp_path / "val").rglob("*.png")
    }
    found = examples(data, 9)  # more than there are
    assert 1 < len(found) <= 4 and all(each.sha256 in files for each in found)
    assert {each.path.split("/")[-2] for each in found} == {"cat", "dog"}


def test_an_image_that_cannot_be_read_costs_itself_alone(tmp_path, caplog):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    (tmp_path / "val" / "dog" / "1.png").write_bytes(b"\x89PNG cut short")
    data = assemble_data(compose(["data=folder", f"data.root={tmp_path}", "data.image_size=8"]))
    with caplog.at_level(logging.INFO, "vit"):
        found = examples(data, 9)
    names = {each.path.split("val/")[-1] for each in found}
    assert names == {"cat/0.png", "cat/1.png", "dog/0.png"}
    assert caplog.text.count("left out of the pictures") == 1 and "1.png" in caplog.text
