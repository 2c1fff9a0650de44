"""README.md and results.png of a finished run: its own numbers, and names that break nothing."""

import json
import os
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from vit.pictures import plots
from vit.pictures.plots import FINER, SIZE
from vit.review import run_page as subject
from vit.review.markdown import code, text
from vit.review.results_picture import steps_per_epoch
from vit.runs.directory import RunFolder
from vit.runs.mistake_gallery import Album, Mistake, write_album
from vit.runs.record import Recorder, StepRecord
from vit.runs.writing import write_json

ODD = ["a|b", "<img src=x>", "__init__", "[x](http://evil)", "猫\n# no title", "`rm`"]
CONFIG = {
    "schema_version": 1,
    "name": "odd",
    "seed": 3,
    "threads": 1,
    "data": {"_target_": "vit.data.folder.ImageFolder", "root": "photos"},
    "task": {"_target_": "vit.tasks.classification.Classification"},
    "backbone": {"_target_": "vit.models.backbone.ViT", "dim": 16},
    "head": {"_target_": "vit.models.classifier.Head"},
    "checkpoint": {"monitor": "val/loss", "mode": "min"},
    "trainer": {"devices": 2, "max_epochs": 4},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "runs" / "odd")
    folder.freeze(CONFIG)
    recorder = Recorder(folder.metrics_file)
    for epoch in range(4):
        step = 10 * (epoch + 1)
        recorder.write(step, epoch, {"train/loss": 2.0 / step}, {})
        recorder.write(step, epoch, {"val/loss": 3.0 / step, "val/accuracy": 0.1 * epoch}, {})
    counts = {name: {"images": 7 + at} for at, name in enumerate(("train", "val", "test"))}
    stamp = {"command": "vit train 'data.root=a```b'", "data": counts}
    write_json(folder.stamp_file, {**stamp, "facts": {"parameters": 12345}})
    results = {
        "schema_version": 1,
        "name": "odd",
        "metrics": {"val/loss": 0.1, "val/accuracy": 0.2, "test/loss": 0.5, "test/accuracy": 0.25},
        "best": {"epoch": 2, "step": 30},
        "timing": {"train_seconds": 63.2},
        "steps": 40,
        "epochs": 4,
        "device": "NVIDIA <b>",
        "tables": {
            "classes": ODD,
            "images": [2] * 6,
            "class_accuracy": [0.5, None, 0, 1, 1, 1],
            "confusion": [[2 * (row == column) for column in range(6)] for row in range(6)],
        },
    }
    write_json(folder.results_file, results)
    folder.set_state("done")
    return folder


def test_the_page_tells_the_numbers_of_the_selected_checkpoint(run):
    subject.write_run_page(run)
    page = (run.path / "README.md").read_text()
    assert "| selected checkpoint | val (8 images) | test (9 images) |" in page
    assert "| accuracy | 20.00% | 25.00% |" in page and "| loss | 0.1000 | 0.5000 |" in page
    assert "**test: accuracy 25.00%**" in page
    assert "epoch 3, step 30, for the lowest val/loss" in page
    assert "4 epochs, 40 steps in 63 s on 2 × NVIDIA &lt;b&gt;, seed 3" in page
    assert "ImageFolder (photos): 7 train, 8 val, 9 test images; 6 classes: " in page
    assert "ViT (dim 16) and Head, 12,345 parameters" in page
    assert "vit predict runs/odd IMAGE" in page and "(results.png)" in page
    assert len(page.splitlines()) < 50


def test_note_and_tags_are_shown_as_words(run):
    put = {**CONFIG, "note": "<script>a|b [x](http://evil) ${x}" + "!" * 300, "tags": ["<i>", "#1"]}
    (run.path / "config.yaml").write_text(yaml.safe_dump(put))
    subject.write_run_page(run)
    page = (run.path / "README.md").read_text()
    assert r"- **note**: &lt;script&gt;a\|b \[x\](http\://evil) \$\{x\}" in page
    assert r"\!" * 300 + "\n" in page and "- **tags**: &lt;i&gt;, \\#1\n" in page


def test_what_lies_in_place_of_one_file_keeps_the_other_from_nobody(run, caplog):
    os.mkfifo(run.path / "results.png")
    subject.write_run_page(run)
    assert "no results.png: " in caplog.text and "is a pipe" in caplog.text
    assert "selected checkpoint" in (run.path / "README.md").read_text()


def test_names_of_anybody_stay_words(run):
    mistake = Mistake(Image.new("RGB", (8, 8)), "a|b taken for <i>", "x\n- y.png")
    write_album(run.path, "test", Album([mistake]))
    subject.write_run_page(run)
    page = (run.path / "README.md").read_text()
    assert r"a\|b, &lt;img src=x&gt;, \_\_init\_\_, \[x\](http\://evil), 猫 \# no title" in page
    assert "\n- x - y.png: a\\|b taken for &lt;i&gt;\n" in page and "](pictures/test)" in page
    assert "\n````bash\nvit train 'data.root=a```b'\n````\n" in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {4}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("macro_f1", "macro_f1"),
        ("val/loss", "val/loss"),
        ("_x_", r"\_x\_"),
        ("a & b", "a &amp; b"),
        ("\x1b[31m", "\\\\u001b\\[31m"),
        ("www.evil.com", r"www\.evil.com"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_words_in_markdown(words, shown):
    assert text(words) == shown


def test_a_fence_is_longer_than_what_it_holds():
    assert code("a `b` ```` c").startswith("`````bash\n")


def test_the_picture_has_three_panels_and_the_mark_where_the_checkpoint_lies(run):
    subject.write_run_page(run)
    with Image.open(run.path / "results.png") as picture:
        assert picture.size == (3 * SIZE[0], SIZE[1]) and picture.text["Software"] == "vit"
        pixels = picture.convert("RGB")
    left, right = 62, SIZE[0] - 16
    middle = round(left + (right - left) * 3 / 4)  # epoch 3 of 4
    orange = [
        x
        for x in range(left, right)
        if any(is_orange(pixels.getpixel((x, y))) for y in range(80, SIZE[1] - 60))
    ]
    assert orange and all(abs(x - middle) <= FINER for x in orange)


def is_orange(pixel):
    red, _, blue = pixel
    return red > 150 and blue < 140


def test_it_is_written_anew_and_nothing_of_somebody_else_is_lost(run):
    subject.write_run_page(run)
    results = json.loads(run.results_file.read_text())
    write_json(run.results_file, {**results, "epochs": 5})
    subject.write_run_page(run)
    assert "5 epochs" in (run.path / "README.md").read_text()
    for name in ("README.md", "results.png"):
        (run.path / name).write_bytes(b"my own")
    subject.write_run_page(run)
    assert {(run.path / n).read_bytes() for n in ("README.md", "results.png")} == {b"my own"}
    assert not list(run.path.glob(".README*"))


def test_a_failure_is_told_and_never_raised(run, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("of no matter")

    monkeypatch.setattr(subject, "results_picture", broken)
    subject.write_run_page(run)
    assert "could not be written" in caplog.text and "of no matter" in caplog.text
    run.config_file.unlink()
    subject.write_run_page(run)  # no run at all


def test_links_are_replaced_and_never_followed(run, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text(subject.MARK)
    (run.path / "README.md").symlink_to(outside)
    subject.write_run_page(run)
    assert outside.read_text() == subject.MARK


@pytest.mark.parametrize(
    ("results", "tables"),
    [
        ({"best": None, "metrics": {}}, {}),
        ({"metrics": {"val/loss": "nan"}}, {"classes": ["a", "b"], "class_ap": [0.5, None]}),
        ({"steps": None, "epochs": None}, {"classes": [str(n) for n in range(99)]}),
    ],
)
def test_less_is_drawn_where_less_is_known(run, results, tables):
    before = json.loads(run.results_file.read_text())
    write_json(run.results_file, {**before, **results, "tables": tables})
    run.metrics_file.unlink()
    subject.write_run_page(run)
    panels = 2 if "class_ap" in tables else 1
    with Image.open(run.path / "results.png") as picture:
        assert picture.width == panels * SIZE[0]
    assert (run.path / "README.md").read_text().startswith("# odd\n")


def test_steps_of_an_epoch_do_not_count_an_epoch_that_was_cut_short():
    records = [StepRecord(5, 0), StepRecord(10, 0), StepRecord(20, 1), StepRecord(23, 2)]
    assert steps_per_epoch({"steps": 23, "epochs": 2}, records) == 10
    assert steps_per_epoch({"steps": 8, "epochs": 1}, [StepRecord(8, 0)]) == 8
    assert steps_per_epoch({}, []) is None


@pytest.mark.parametrize("low", [0.00012, 0.0123, 0.31, 12_000.2, 1.2e7])
@pytest.mark.parametrize("spread", [1e-6, 0.01, 3.0])
def test_no_two_ticks_of_a_scale_have_the_same_words(low, spread):
    values = np.array([low, low * (1 + spread)])
    ticks = plots._scale(values, powers=False)[2]
    words = plots._numbers(ticks)
    assert len(ticks) > 1 and len(set(words)) == len(ticks)
    assert [float(each.replace(",", "")) for each in words] == pytest.approx(ticks, rel=0.05)


def test_ticks_are_as_short_as_can_be():
    assert plots._numbers([0.0, 0.1, 0.2]) == ["0", "0.1", "0.2"]
    assert plots._numbers([1.2e-4, 1.4e-4]) == ["1.2e-4", "1.4e-4"]
    assert plots._numbers([1e-4, 2e-4]) == ["1e-4", "2e-4"]
