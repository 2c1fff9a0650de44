"""The Python blocks of all pages run as they are written, block after block, as in a notebook."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import command
from pages import GUIDE, LINKING, ROOT, as_notebook, name_of, python_blocks
from PIL import Image
from scipy.io import wavfile
from tiny_runs import freeze

from vit.api import evaluation, report, training
from vit.api.command import Ended
from vit.cli.compose import compose_runs
from vit.cli.train import parsed

# Page → the file of the test that runs its Python blocks.
RUN_BY = {
    "README.md": "tests/test_notebooks.py",
    "docs/detection.md": "tests/test_notebooks.py",
    "docs/fit.md": "tests/api/test_fit.py",
    "docs/images.md": "tests/test_notebooks.py",
    "docs/python.md": "tests/test_notebooks.py",
    "docs/segmentation.md": "tests/test_notebooks.py",
    "docs/sounds.md": "tests/test_notebooks.py",
    "docs/start.md": "tests/test_notebooks.py",
    "docs/texts.md": "tests/test_notebooks.py",
    "docs/tuning.md": "tests/tuning/test_tuning.py",
    "docs/weights.md": "tests/test_notebooks.py",
    "docs/parts.md": "tests/test_parts_page.py",
    "docs/task.md": "tests/tasks/test_spec.py",
    "vit/models/article.md": "tests/models/test_article.py",
}


def test_the_blocks_of_every_page_are_run_by_a_test():
    assert {name_of(page) for page in {*GUIDE, *LINKING} if python_blocks(page)} == {*RUN_BY}
    for page, test in RUN_BY.items():
        assert Path(page).name in (ROOT / test).read_text(), f"{test} does not run {page}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a reader would be: pictures of digits lie in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("three", "five", "seven", "scene"):
        values = np.random.default_rng(len(name)).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(values).save(f"{name}.png")
    wave = np.random.default_rng(0).integers(-9000, 9000, 4000, dtype=np.int16)
    wavfile.write("word.wav", 8000, wave)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "kind", "name"),
    [
        ("README.md", "classes", "digits"),
        ("docs/start.md", "classes", "digits"),
        ("docs/images.md", "classes", "digits"),
        ("docs/detection.md", "boxes", "digit_scenes"),
        ("docs/segmentation.md", "maps", "digit_segments"),
        ("docs/texts.md", "texts", "number_words"),
        ("docs/sounds.md", "sounds", "spoken_digits"),
    ],
)
def test_a_page_on_a_trained_run_runs(tiny_runs, folder, page, kind, name):
    shutil.copytree(tiny_runs(kind), folder / "runs" / f"{name}-…")
    assert as_notebook(ROOT / page)["run"].run_dir.name == f"{name}-…"


def test_the_page_on_weights_runs():
    found = as_notebook(ROOT / "docs/weights.md")
    assert found["features"].patches.shape == (1, 196, 192)


def test_the_page_on_python_runs(folder, monkeypatch):
    """Its training is done already, by a run that has its first weights."""
    words = ["experiment=digits", "seed=1", "backbone.depth=6"]
    (composed,) = compose_runs(parsed(words))
    done(freeze(folder / composed.run_dir, words))

    def warm(words, **_):
        ended = command(*words, code=None)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    for module in (evaluation, report, training):
        monkeypatch.setattr(module, "run_command", warm)
    found = as_notebook(ROOT / "docs/python.md")
    assert found["run"].path.name == composed.run_dir.name
    assert (folder / "report.html").exists()


def done(run):
    results = {"val/loss": 2.3, "test/accuracy": 0.1}
    record = {"schema_version": 1, "step": 9, "epoch": 0, "timing": {}, "metrics": results}
    (run / "state.json").write_text(json.dumps({"schema_version": 1, "state": "done"}))
    told = {"schema_version": 1, "metrics": results, "epochs": 50}
    (run / "metrics.json").write_text(json.dumps(told))
    (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")


@pytest.mark.slow
def test_the_page_on_python_trains_and_measures(folder):
    found = as_notebook(ROOT / "docs/python.md")
    assert found["run"].metrics["test/accuracy"] > 0.9
    assert (folder / "report.html").exists()


def test_a_block_that_fails_is_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\nx + 1\n```\n\n```python\ny = x\nnone\n```\n")
    with pytest.raises(NameError, match="none") as caught:
        as_notebook(page)
    assert "page.md, block 2" in str(caught.traceback[-1].path)
