"""Rows, settings and axes of W&B in our words, wherever they come from."""

import math

import pytest

from vit.review.wandb_rows import Axes, add_row, as_ours, best, number


def test_settings_read_the_same_nested_and_flat():
    nested, _ = as_ours({"optim": {"lr": 0.1, "decay": 1}, "seed": 2, "_wandb": {"m": []}})
    dotted, _ = as_ours({"optim.lr": 0.1, "optim.decay": 1, "seed": 2})
    mixed, _ = as_ours({"optim/lr": 0.1, "seed": 2, "optim": {"decay": 1}})
    assert nested == dotted == mixed == {"optim": {"lr": 0.1, "decay": 1}, "seed": 2}


def test_settings_that_are_no_paths_stay_as_they_are():
    logged, trial = as_ours({"../x": 1, "a.": 2, "lr": 1, "lr.decay": 2})
    assert logged == {"../x": 1, "a.": 2, "lr": 1, "lr.decay": 2} and trial == {}


def test_a_run_of_ours_keeps_its_group():
    assert as_ours({"seed": 1, "config_without_seed": "abc"}) == ({"seed": 1}, {"group": "abc"})


@pytest.mark.parametrize(
    ("logged", "value"),
    [("1e-3", 0.001), (3, 3.0), ('"Infinity"', math.inf), ("-Infinity", -math.inf)],
)
def test_numbers_come_as_text_and_as_themselves(logged, value):
    assert number(logged) == value
    assert math.isnan(number("NaN")) and math.isnan(number('"NaN"'))


@pytest.mark.parametrize("logged", [True, None, {"_type": "image-file"}, '"high"', "true", [1]])
def test_what_is_no_number_is_left_out(logged):
    assert number(logged) is None


def test_a_metric_lies_over_its_own_step():
    axes = Axes()
    axes.define("", "val/*", "images")
    axes.define("val/loss", "", "batches")
    axes.define("val/map", "", "epoch")  # counts no steps
    columns: dict[str, dict[int, float]] = {}
    row = {"val/acc": 0.5, "val/loss": 1.0, "val/map": 0.3, "train/loss": 2.0}
    row |= {"images": 640, "batches": 20, "epoch": 3, "_step": 7}
    add_row(columns, row, 7, axes)
    steps = {name: list(column) for name, column in columns.items()}
    assert steps["val/acc"] == [640] and steps["val/loss"] == [20]
    assert steps["val/map"] == steps["train/loss"] == [7]
    add_row(columns, {**row, "trainer/global_step": 90}, 8, axes)
    assert {list(column)[-1] for column in columns.values()} == {90}  # Lightning's before all


def test_a_step_that_is_no_whole_number_counts_for_nothing():
    axes = Axes()
    axes.define("loss", "", "hours")
    columns: dict[str, dict[int, float]] = {}
    for own, hours in enumerate((0.5, "NaN", None)):
        add_row(columns, {"loss": 1.0, "hours": hours}, own, axes)
    assert list(columns["loss"]) == [0, 1, 2]


def test_the_best_value_that_was_defined_counts():
    assert best({"max": 0.9}) == 0.9 and best({"min": "Infinity"}) == math.inf and best(0.5) == 0.5
