"""The bar and the lines: what a person sees of a training."""

import io
import math

import pytest
import pytorch_lightning as lightning
from rich.console import Console
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks import progress
from vit.callbacks.progress import Pace, Progress, clock
from vit.callbacks.throughput import Counters, Throughput
from vit.tasks.specs.classification import ClassificationSpec

pytestmark = LIGHTNING_TALKS
CURSOR_BACK_AND_LINE_CLEARED = "\x1b[?25h\r\x1b[1A\x1b[2K"


def fitted(folder, *, terminal, callbacks=(), unit="image", **settings):
    """What a whole training writes to its console."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160)
    toy = Toy(folder, **settings)
    shown = ClassificationSpec().progress_metrics(toy.task.model)
    toy.trainer.callbacks.insert(0, Progress(toy.throughput, console, unit, shown))
    toy.trainer.callbacks[0:0] = callbacks
    toy.fit()
    return console.file.getvalue()


def test_without_a_terminal_there_is_one_plain_line_for_each_epoch(tmp_path):
    lines = fitted(tmp_path, terminal=False).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("epoch 2/3  step 12  loss ")
    for part in ("accuracy", "val loss", "val accuracy", "images/s", "left"):
        assert part in lines[1]
    assert "\x1b" not in "".join(lines)
    assert lines[-1].endswith("0:00 left")


def test_a_validation_within_an_epoch_has_a_line_of_its_own(tmp_path):
    lines = fitted(tmp_path, terminal=False, epochs=1, val_check_interval=0.5).splitlines()
    assert [line[:17] for line in lines] == ["epoch 1/1  step 3", "epoch 1/1  step 6"]
    assert all("val loss" in line and "left" in line for line in lines)


def test_on_a_terminal_there_is_a_bar_that_is_gone_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    shown = fitted(tmp_path, terminal=True)
    assert "\x1b" in shown
    for part in ("epoch 1/3", "epoch 3/3", "loss", "accuracy", "images/s", "left"):
        assert part in shown
    assert shown.endswith(CURSOR_BACK_AND_LINE_CLEARED)


def test_samples_are_called_what_they_are(tmp_path):
    assert "texts/s" in fitted(tmp_path, terminal=False, unit="text")


def test_no_color_is_honoured(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    assert "\x1b[3" not in fitted(tmp_path, terminal=True)


def test_the_metrics_are_asked_for_by_the_clock_and_not_by_the_step(tmp_path, monkeypatch):
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    time, looks = Clock(), []
    monkeypatch.setattr(progress, "perf_counter", time)
    monkeypatch.setattr(progress.Progress, "_look", lambda self, task: looks.append(time.now))

    class Ticks(lightning.Callback):
        def on_train_batch_start(self, *_):
            time.now += 0.05

    fitted(tmp_path, terminal=True, callbacks=(Ticks(),), limit_val_batches=0)
    # 18 steps in 0.9 s: at most five looks a second, and one at the end of each epoch.
    assert len(looks) <= 0.9 * 5 + 3


def test_the_bar_is_closed_when_the_training_fails(tmp_path):
    class Fails(lightning.Callback):
        def on_train_batch_end(self, *_):
            raise RuntimeError("broken")

    console = Console(file=io.StringIO(), force_terminal=True)
    bar = Progress(Throughput(), console)
    with pytest.raises(RuntimeError, match="broken"):
        Toy(tmp_path, extra=(bar, Fails())).fit()
    assert console.file.getvalue().endswith(CURSOR_BACK_AND_LINE_CLEARED)


def test_the_pace_forgets_what_is_long_ago_but_not_at_once():
    pace = Pace()
    pace.measure(Counters())
    pace.measure(Counters(images=100, batches=10, seconds=10.0))
    assert pace.batch_seconds == 1.0
    assert pace.images_per_second == 10.0
    pace.measure(Counters(images=200, batches=20, seconds=13.0))  # a short burst
    # 3 s of 0.3 s a batch, in a memory of 10 s
    assert pace.batch_seconds == pytest.approx(1 - 0.7 * (1 - math.exp(-0.3)))
    pace.measure(Counters(images=10_200, batches=1_020, seconds=313.0))  # for long
    assert pace.batch_seconds == pytest.approx(0.3, abs=0.01)


def test_the_time_left_counts_all_epochs_and_their_validations(tmp_path):
    class Now(lightning.Callback):
        """Asks after the first epoch: two more of six batches, and two validations."""

        def __init__(self, bar):
            self.bar, self.left = bar, []

        def on_train_epoch_end(self, trainer, pl_module):
            self.bar._pace.batch_seconds = 2.0
            self.bar._validation_seconds = [5.0]
            self.left.append(self.bar._seconds_left(trainer, 0, trainer.current_epoch + 1))

    bar = Progress(Throughput(), Console(file=io.StringIO()))
    now = Now(bar)
    Toy(tmp_path, extra=(bar, now)).fit()
    assert now.left == [2 * (6 * 2.0 + 5.0), 6 * 2.0 + 5.0, 0.0]


def test_the_clock_is_readable():
    assert [clock(s) for s in (0.0, 42.4, 725.0, 10930.0)] == ["0:00", "0:42", "12:05", "3:02:10"]
