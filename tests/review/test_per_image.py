"""The best against the baseline image by image: counts, p values, and what is not compared."""

import json

import numpy as np
import pytest
from folders import make_sweep
from scipy.stats import binomtest

from vit.cli.report import main
from vit.review.report import build_report
from vit.review.sources import load
from vit.runs.predictions import Predictions, hash_of_names, write_predictions

COUNT = 200


def keep(run, wrong, samples="same", shift=0):
    """Predictions of 200 images that are wrong on some of them."""
    target = (np.arange(COUNT) + shift) % 7
    predicted = target.copy()
    predicted[list(wrong)] += 1
    confidence = np.full(COUNT, 0.5, np.float32)
    predictions = Predictions(
        np.arange(COUNT), target, predicted, confidence, hash_of_names([samples])
    )
    write_predictions(run, "test", predictions)


@pytest.fixture
def sweep(tmp_path):
    folder = make_sweep(tmp_path / "sweep", gain=0.0001)
    keep(folder / "depth_2-0", range(40))
    keep(folder / "depth_6-0", range(36, 46))  # 4 wrong in both, 36 alone and 6 alone
    keep(folder / "depth_2-1", range(10))
    keep(folder / "depth_6-1", range(5, 15))
    return folder


def board_of(folder, **options):
    return build_report(load([folder], cache=False), [folder], **options).overall


def test_each_seed_has_its_own_exact_test(sweep):
    found = board_of(sweep).per_image
    assert (found.a_label, found.b_label) == ("depth=6", "depth=2")
    first, second = found.seeds  # of the third nobody kept predictions
    assert (first.both, first.only_a, first.only_b, first.neither) == (154, 36, 6, 4)
    assert first.p == pytest.approx(binomtest(6, 42).pvalue) and first.p < 1e-5
    assert first.p_corrected == 2 * first.p
    assert (second.only_a, second.only_b, second.p) == (5, 5, 1.0)
    assert (found.only_a, found.only_b) == (41, 11) and not hasattr(found, "p")
    assert found.text == "of 2 seeds, depth=6 is right more often in 1"


def test_images_decide_no_winner(sweep):
    assert board_of(sweep).verdict.kind == "unclear"
    before = board_of(sweep).verdict
    for seed in range(3):
        keep(sweep / f"depth_2-{seed}", range(150))
        keep(sweep / f"depth_6-{seed}", range(0))
    board = board_of(sweep)
    assert all(row.p_corrected < 1e-20 for row in board.per_image.seeds)
    assert board.verdict.kind == "unclear"
    assert board.verdict.text == before.text


def test_where_the_best_is_the_baseline_the_second_is_compared(sweep):
    for seed in range(2):
        keep(sweep / f"depth_4-{seed}", range(3))
    found = board_of(sweep, baseline="depth=6").per_image
    assert (found.a_label, found.b_label) == ("depth=6", "depth=4")


@pytest.mark.parametrize("other", [{"samples": "others"}, {"shift": 1}])
def test_other_images_are_not_compared(sweep, other):
    keep(sweep / "depth_6-0", range(10), **other)
    assert [row.seed for row in board_of(sweep).per_image.seeds] == [1]
    keep(sweep / "depth_6-1", range(10), **other)
    assert board_of(sweep).per_image is None


def test_the_terminal_shows_it(sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(sweep), "--no-cache"]) == 0
    said = capsys.readouterr().out
    assert "seed 0 36:6 (p = 2.8e-06), seed 1 5:5 (p = 1)" in said
    assert main([str(sweep), "--no-cache", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["per_image"]["seeds"]) == 2
