"""Which way a metric is better is read from the words of its name, never from letters in them."""

import pytest

from vit.metrics.direction import is_lower_better, mode_of


@pytest.mark.parametrize(
    "name",
    [
        *(
            "val/loss",
            "val_loss",
            "train/box_loss",
            "loss2",
            "valLoss",
            "val/ECE",
            "val/mean-error",
        ),
        *("timing/step_seconds", "peak_memory_mb", "val/perplexity", "logloss", "val/losses"),
    ],
)
def test_lower_is_better_by_a_whole_word(name):
    assert is_lower_better(name)


@pytest.mark.parametrize(
    "name",
    [
        *("val/recent_accuracy", "val/accuracy_decent", "val/terrorism_recall", "val/gloss_f1"),
        *("images_per_second", "val/lossless_share", "val/ap50", "loss/val_accuracy"),
    ],
)
def test_letters_within_another_word_say_nothing(name):
    assert not is_lower_better(name)


def test_the_mode_of_a_metric_follows():
    assert mode_of("val/recent_accuracy") == "max" and mode_of("val/box_loss") == "min"
    assert mode_of("val/overconfidence") is None and mode_of("lr") is None
