"""What a training leaves out, and what it warns of, reaches the person who waits for it."""

import json
import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import command
from PIL import Image

from vit.callbacks.left_out import NAMED, LeftOut
from vit.cli import evaluate
from vit.runs.left_out import left_out_summary
from vit.structures import Batch, DetectionBatch, Objects, SegmentationBatch
from vit.tasks.log import said_into

SMALL = {
    "data.image_size": 16,
    "data.val_fraction": 0.3,
    "data.batch_size": 8,
    "data.on_bad_image": "skip",
    "backbone.patch_size": 8,
    "backbone.dim": 32,
    "backbone.depth": 1,
    "backbone.heads": 2,
    "trainer": "cpu",
    "trainer.max_epochs": 2,
    "tracking": "none",
    "threads": 1,
}


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            values = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "photos" / name / f"{number:03d}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("workers", [0, 1])
def test_skipped_images_are_named_once_and_counted_at_the_end(photos, tmp_path, workers):
    (photos / "cat" / "003.png").write_bytes(b"no image")
    (photos / "dog" / "002.png").unlink()
    (photos / "dog" / "002.png").symlink_to(photos / "nothing")
    run = tmp_path / "run"
    words = ["data=folder", f"data.root={photos}", f"hydra.run.dir={run}"]
    words += [f"{key}={value}" for key, value in SMALL.items()]
    words.append(f"data.num_workers={workers}")
    done = command("train", *words, code=None, cwd=tmp_path)
    screen = done.stdout + done.stderr
    assert done.returncode == 0, screen
    assert "__getitems__" not in screen
    for name in ("cat/003.png: not an image", "dog/002.png: No such file"):
        lines = [line for line in screen.splitlines() if name in line]
        assert sum(line.startswith("left out of ") for line in lines) == 1
    counts = json.loads((run / "metrics.json").read_text())["left_out"]
    assert sum(counts.values()) == 2
    assert f"left out      {left_out_summary(counts, 'image')}" in screen
    assert "left out, images that could not be read" in (run / "log.txt").read_text()


def test_counts_of_an_evaluation_are_reported(capsys):
    result = {"split": "val", "images": 9, "unit": "image", "metrics": {}, "tables": {}}
    evaluate._show({**result, "left_out": 2})
    assert "9 val images (left out: images that could not be read: 2 of val)" in (
        capsys.readouterr().out
    )


def test_a_run_that_goes_on_counts_what_it_has_left_out_before(caplog):
    caplog.set_level(logging.INFO, "vit")
    first, batch = LeftOut(), SimpleNamespace(left_out=("a.png: not an image.",))
    first.note("train", batch)
    again = LeftOut()
    again.load_state_dict(first.state_dict())
    again.note("train", batch)
    again.note("val", batch)
    assert again.counts() == {"train": 1, "val": 1}
    assert sum("a.png" in line for line in caplog.messages) == 2


def test_of_many_the_screen_has_some_and_the_log_all(tmp_path, capsys):
    left_out = LeftOut()
    lines = tuple(f"{n}.png: not an image." for n in range(50))
    with said_into(tmp_path / "log.txt", 0):
        left_out.note("train", SimpleNamespace(left_out=lines))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    assert "the log" in said[-1]
    assert (tmp_path / "log.txt").read_text().count("not an image") == 50


def test_batches_keep_what_was_left_out_on_their_way_to_a_device():
    ones, rows, result = torch.ones(1, 3, 4, 4), torch.zeros(1, dtype=torch.int64), ("a: b",)
    objects = Objects(rows, torch.zeros(1, 4), (1,))
    for batch in (
        Batch(ones, rows, rows, left_out=result),
        DetectionBatch(ones, objects, rows, left_out=result),
        SegmentationBatch(ones, rows.expand(1, 4, 4), rows, left_out=result),
    ):
        assert batch.to("cpu").left_out == result


def test_warnings_of_ours_reach_the_screen_and_others_the_log(tmp_path, capsys):
    with said_into(tmp_path / "log.txt", 0, {"hunter2!": "${oc.env:WORD}"}):
        logging.getLogger("vit").warning("counted otherwise: \x1b[31m hunter2!")
        logging.getLogger("vit").error("failed")  # the command says so itself
        logging.getLogger("vit").info("epoch 1")
        logging.getLogger("pytorch_lightning").warning("a tip of Lightning's")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("of a library\nin two lines", stacklevel=1)
    result = capsys.readouterr()
    (line,) = result.err.splitlines()
    assert line.startswith("counted otherwise: ")
    assert "\x1b" not in line and "hunter2!" not in line
    assert result.out == ""
    log = (tmp_path / "log.txt").read_text()
    assert "of a library in two lines (UserWarning, " in log
    assert "stacklevel" not in log  # no line of source


def test_other_ranks_say_nothing_on_the_screen(tmp_path, capsys):
    with said_into(tmp_path / "log.txt", 1):
        logging.getLogger("vit").warning("of rank 1")
    assert capsys.readouterr().err == ""
    assert "of rank 1" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(("count", "more"), [(NAMED, 0), (NAMED + 1, 1)])
def test_further_ones_are_announced_only_where_there_are_some(caplog, count, more):
    lines = tuple(f"{n}.png: not an image." for n in range(count))
    LeftOut().note("train", SimpleNamespace(left_out=lines))
    assert sum("further images" in line for line in caplog.messages) == more
