"""What a training shows is ours: no warning of a library's reaches the screen."""

import re

import pytest
from commands import true_command

EXPERIMENTS = (
    "digits",
    "digit_scenes_small",
    "digit_masks",
    "digit_segments",
    "digit_captions",
    "number_words",
)
TINY = [
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "data.batch_size=4",
    "schedule.warmup_epochs=0",
    "threads=1",
]
# As Python and its libraries write one: its class, or where it was raised.
FOREIGN = re.compile(r"\w+Warning\b|\.py:\d+|^(wandb|rank_zero|GPU available|INFO|WARNING)\b", re.M)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_training_shows_no_warning_of_a_librarys(experiment, tmp_path):
    words = [f"experiment={experiment}", *TINY, f"hydra.run.dir={tmp_path / 'run'}"]
    done = true_command("train", *words, environment={"WANDB_MODE": "offline"})
    assert "trained " in done.stdout
    assert FOREIGN.findall(done.stdout + done.stderr) == []
