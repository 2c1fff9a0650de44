import pytest

from vit.check.preflight import Shared, preflight
from vit.check.selection import directions, validation_faults
from vit.cli.compose import compose
from vit.metrics.direction import mode_of, wrong_direction
from vit.tasks.specs.classification import ClassificationSpec

NEEDED = ["experiment=digits", "schedule.warmup_epochs=0"]


@pytest.fixture(scope="module")
def shared():
    return Shared()


@pytest.mark.parametrize(
    ("monitor", "mode", "right"),
    [
        ("val/loss", "max", "min"),
        ("val/loss", "min", None),
        ("val/accuracy", "min", "max"),
        ("val/accuracy", "max", None),
        ("val/ece", "max", "min"),
    ],
)
def test_the_worst_is_never_taken_for_the_best(shared, monitor, mode, right):
    words = [f"checkpoint.monitor={monitor}", f"checkpoint.mode={mode}"]
    faults = preflight(compose([*NEEDED, *words]), shared=shared).faults
    assert [fault.where for fault in faults] == (["checkpoint.mode"] if right else [])
    assert not right or f"wanted {right}" in faults[0].message


@pytest.mark.parametrize("mode", ["max", "min"])
def test_nothing_is_selected_by_a_number_that_is_best_at_zero(shared, mode):
    words = ["checkpoint.monitor=val/overconfidence", f"checkpoint.mode={mode}"]
    (fault,) = preflight(compose([*NEEDED, *words]), shared=shared).faults
    assert fault.where == "checkpoint.monitor"
    assert "best at 0" in fault.message and "val/ece" in fault.message


KINDS = {
    "one class": ["experiment=digits"],
    "several labels": ["experiment=digits", "task.loss=bce"],
    "boxes": ["experiment=digit_scenes_small"],
    "maps": ["experiment=digit_segments"],
    "captions": ["experiment=digit_captions", "+task.text_metrics=[bleu,chrf,rouge]"],
    "texts": ["experiment=number_words"],
}


@pytest.mark.parametrize("words", KINDS.values(), ids=list(KINDS))
def test_every_metric_of_every_task_has_a_direction_or_is_known_to_have_none(shared, words):
    report = preflight(compose([*words, "schedule.warmup_epochs=0"]), shared=shared)
    metrics = report.sound.metrics
    assert {*metrics.better, *metrics.signed} == {*metrics.monitors}
    # A number that can fall below zero, or is better small, has one of these words in its name.
    low = ("loss", "ece", "perplexity")
    for name, mode in metrics.better.items():
        assert (mode == "min") == name.endswith(low)


def test_a_users_own_task_means_what_it_says():
    mine = type("Mine", (ClassificationSpec,), {"__module__": "mine"})
    assert directions(ClassificationSpec(), ["val/loss"]) == {"val/loss": "min"}
    assert directions(mine(), ["val/loss"]) == {}
    assert wrong_direction("val/loss", "max", {}) is None


def test_metrics_of_every_kind_of_task_have_their_direction():
    ours = {"val/miou": "max", "val/ap50": "max", "val/pq": "max", "val/perplexity": "min"}
    assert {name: mode_of(name) for name in ours} == ours


def validation(batches=18, steps=180, **trainer):
    warnings = []
    faults = validation_faults({"trainer": {"max_epochs": 10, **trainer}}, batches, steps, warnings)
    return [fault.where for fault in faults], len(warnings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ([], 0)),
        ({"check_val_every_n_epoch": 10}, ([], 0)),
        ({"check_val_every_n_epoch": 11}, (["trainer.check_val_every_n_epoch"], 0)),
        ({"val_check_interval": 18}, ([], 0)),
        ({"val_check_interval": 19}, (["trainer.val_check_interval"], 0)),
        ({"val_check_interval": 0.1}, ([], 0)),
        ({"val_check_interval": None}, ([], 0)),
        ({"val_check_interval": "00:00:01:00"}, ([], 0)),  # by the clock, nobody knows
        ({"check_val_every_n_epoch": None, "val_check_interval": 180}, ([], 0)),
        (
            {"check_val_every_n_epoch": None, "val_check_interval": 181},
            (["trainer.val_check_interval"], 0),
        ),
        ({"limit_val_batches": 0, "check_val_every_n_epoch": 99}, ([], 0)),  # asked for: a warning
        ({"steps": 17, "max_steps": 17}, ([], 1)),
        ({"steps": 18, "max_steps": 18}, ([], 0)),
        ({"steps": 5, "max_steps": 5, "val_check_interval": 5}, ([], 0)),
    ],
)
def test_a_training_that_never_validates_is_refused_or_warned_of(settings, expected):
    assert validation(**settings) == expected


def test_a_training_without_a_batch_is_refused(shared):
    config = compose([*NEEDED, "trainer.limit_train_batches=0.001"])
    faults = preflight(config, shared=shared).faults
    assert [fault.where for fault in faults] == ["trainer.limit_train_batches"]


def test_no_validation_on_purpose_is_warned_of(shared):
    report = preflight(compose([*NEEDED, "trainer.limit_val_batches=0"]), shared=shared)
    assert report.faults == []
    assert any("nothing is selected" in warning for warning in report.warnings)
