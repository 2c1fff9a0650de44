"""What a training is too short for is a warning with the numbers and what to change."""

import pytest

from vit.check.case import Case, Shared
from vit.check.never_reached import check_reach
from vit.check.selection import validations
from vit.cli.compose import compose
from vit.runs.check_report import TrainingReport


@pytest.fixture(scope="module")
def config():
    return compose(["experiment=digits", "ema=standard"])


def warned(config, *, steps=40, per_epoch=10, **parts):
    changed = {key: {**(config[key] or {}), **part} for key, part in parts.items()}
    case = Case({**config, **changed}, False, None, Shared())
    case.training = TrainingReport(
        processes=1,
        batch_size=8,
        micro_batch_size=8,
        batches_per_epoch=per_epoch,
        steps_per_epoch=per_epoch,
        steps=steps,
    )
    check_reach(case)
    return case.warnings


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"schedule": {"warmup_epochs": 4}}, "takes 40 of the 40 steps"),
        ({"schedule": {"warmup_epochs": 4}}, "schedule.warmup_epochs=0.4 warms up over a tenth"),
        (
            {"schedule": {"warmup_epochs": None, "warmup_steps": 40}},
            "schedule.warmup_steps=4 warms up",
        ),
        ({"ema": {"every_n_steps": 41}}, "would stay the weights of the start"),
        ({"ema": {"warmup": False, "decay": 0.99}}, "has 40: 67% of what is evaluated would be"),
        ({"checkpoint": {"patience": 4}}, "the training has 4: it never stops early"),
        ({"checkpoint": {"every_n_steps": 50}}, "checkpoint.every_n_steps=50, and the training"),
        ({"checkpoint": {"keep_every_n_steps": 50}}, "the training has 40 steps"),
        ({"checkpoint": {"keep_every_n_epochs": 5}}, "the training has 4 whole epochs"),
    ],
)
def test_what_the_training_ends_before_is_one_warning(config, parts, told):
    (line,) = warned(config, **parts)
    assert told in line


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"schedule": {"warmup_epochs": 3.9}},
        {"schedule": {"warmup_epochs": 4.5}},  # a fault of another check
        {"schedule": {"warmup_epochs": 0}},
        {"ema": {"every_n_steps": 40}},
        {"ema": {"warmup": False, "decay": 0.9}},
        {"checkpoint": {"patience": 3, "every_n_steps": 40, "keep_every_n_epochs": 4}},
        {"checkpoint": {"patience": 3}, "trainer": {"limit_val_batches": 0}},
    ],
)
def test_what_is_reached_is_no_warning(config, parts):
    assert warned(config, **parts) == []


def test_the_schedule_of_an_extended_run_is_that_of_its_recipe(config):
    longer = {**config, "extend": 4}
    assert "takes 40 of the 40 steps" in warned(longer, steps=80, schedule={"warmup_epochs": 4})[0]


@pytest.mark.parametrize(
    ("trainer", "looks"),
    [
        ({}, 4),
        ({"check_val_every_n_epoch": 2}, 2),
        ({"check_val_every_n_epoch": 5}, 0),
        ({"val_check_interval": 0.25}, 20),  # after 2 of 10 batches each
        ({"val_check_interval": 5}, 8),
        ({"val_check_interval": 15, "check_val_every_n_epoch": None}, 2),
        ({"val_check_interval": "00:01:00:00"}, None),
        ({"limit_val_batches": 0}, 0),
    ],
)
def test_validations_are_counted(config, trainer, looks):
    training = TrainingReport(1, 8, 8, 10, 10, 40)
    assert validations({**config, "trainer": {**config["trainer"], **trainer}}, training) == looks
