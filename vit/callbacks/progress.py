"""The bar that a person watches: how well, how fast, how long still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from vit.callbacks.throughput import Counters, Throughput
from vit.console import console as plain_console
from vit.terminal import printable

REFRESH_SECONDS = 0.2  # five times a second is all that an eye follows
MEMORY_SECONDS = 10.0  # of the pace that the time left is estimated from
WIDE = 130  # columns that the whole line takes; below, a shorter one that fits in 80
VALIDATION_COST = 0.4  # of a training batch, until the first validation was timed


class Progress(Callback):
    """Shows epoch, step, what the task finds worth showing, samples a second and the time left.

    On a terminal a bar, redrawn by the clock; elsewhere a plain line after each epoch, and after
    each validation within one. Only then are the metrics asked for, which waits for the device. The
    time left is that of the whole training with its validations. `unit` is what a sample is called,
    `metrics` are labels with the metrics that they stand for.
    """

    def __init__(
        self,
        throughput: Throughput,
        console: Console | None = None,
        unit: str = "image",
        metrics: Sequence[tuple[str, str]] = (("loss", "train/loss"), ("val loss", "val/loss")),
    ):
        self._throughput = throughput
        self._metrics = metrics
        self._unit = unit
        self._console = console or plain_console()
        self._bar: Bar | None = None
        self._pace = Pace()
        self._drawn = 0.0
        self._train: dict[str, float] = {}
        self._validated: dict[str, float] = {}
        self._validation_began = 0.0
        self._batches = 0  # of the epoch, that are done
        self._validation_seconds: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pace.measure(self._throughput.counters)
        on_screen = self._console.is_terminal and not self._console.is_dumb_terminal
        if trainer.is_global_zero and on_screen:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20 if self._console.width >= WIDE else 10),
                TextColumn("{task.fields[status]}", markup=False),
                console=self._console,
                auto_refresh=False,  # a thread that redraws would take time from the training
                transient=True,
            )
            self._bar.add_task("starting", total=None, status="")
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._batches = batch_idx + 1
        last = self._batches == trainer.num_training_batches
        if self._bar is None:
            if last and trainer.is_global_zero:
                self._look(pl_module)
        elif last or perf_counter() - self._drawn >= REFRESH_SECONDS:
            self._look(pl_module)
            self._draw(trainer, batch_idx + 1)
            self._drawn = perf_counter()
            _ = self._throughput.counters  # drawing is no waiting for data

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_began = perf_counter()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._bar is not None and perf_counter() - self._drawn >= REFRESH_SECONDS:
            batches = sum(trainer.num_val_batches)
            self._bar.update(self._bar.task_ids[0], status=f"validation {batch_idx + 1}/{batches}")
            self._bar.refresh()
            self._drawn = perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validation_seconds.append(perf_counter() - self._validation_began)
            self._validated = {name: float(v) for name, v in trainer.callback_metrics.items()}
        within = 0 < self._batches < trainer.num_training_batches
        if trainer.is_global_zero and self._bar is None and within:
            self._look(pl_module)
            self._print(trainer, self._batches, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self._bar is None:
            self._pace.measure(self._throughput.counters)
            self._print(trainer, 0, trainer.current_epoch + 1)

    def _print(self, trainer: Trainer, batches: int, done: int) -> None:
        """The line after `done` whole epochs and `batches` of the next."""
        epochs = f"/{trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""
        parts = [f"epoch {trainer.current_epoch + 1}{epochs}", f"step {trainer.global_step}"]
        line = "  ".join([*parts, *self._status(trainer, batches, done)])
        print(printable(line), file=self._console.file, flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _look(self, task: Any) -> None:
        self._train = task.running.peek() or self._train
        self._pace.measure(self._throughput.counters)

    def _draw(self, trainer: Trainer, batches: int) -> None:
        assert self._bar is not None
        total = batches_in_all(trainer)
        done = trainer.current_epoch * int(trainer.num_training_batches) + batches
        epochs = f"/{trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""
        short = self._console.width < WIDE
        self._bar.update(
            self._bar.task_ids[0],
            description=f"epoch {trainer.current_epoch + 1}{epochs}"
            + ("" if short else f"  step {trainer.global_step}"),
            total=total,
            completed=done,
            status=(" " if short else "  ").join(
                self._status(trainer, batches, trainer.current_epoch, short=short)
            ),
        )
        self._bar.refresh()

    def _status(
        self, trainer: Trainer, batches: int, epochs: int, *, short: bool = False
    ) -> list[str]:
        """What is known after `epochs` whole epochs and `batches` of the next."""
        digits = 2 if short else 4
        known = {**self._train, **self._validated}
        parts = [
            f"{label.replace('val accuracy', 'val') if short else label} {known[name]:.{digits}f}"
            for label, name in self._metrics
            if name in known and not (short and label == "val loss")
        ]
        if self._pace.images_per_second:
            parts.append(f"{self._pace.images_per_second:,.0f} {self._unit}s/s")
        left = self._seconds_left(trainer, batches, epochs)
        return parts if left is None else [*parts, f"{clock(left)} left"]

    def _seconds_left(self, trainer: Trainer, batches: int, epochs: int) -> float | None:
        total = batches_in_all(trainer)
        if total is None or self._pace.batch_seconds is None:
            return None
        per_epoch = int(trainer.num_training_batches)
        left = max(total - epochs * per_epoch - batches, 0)
        if self._validation_seconds:
            recent = self._validation_seconds[-3:]
            validation = sum(recent) / len(recent)
        else:
            count = sum(trainer.num_val_batches)
            validation = count * self._pace.batch_seconds * VALIDATION_COST
        return left * self._pace.batch_seconds + validation * validations(trainer, left)


class Pace:
    """Seconds of a batch and images in a second, lately: what is older than 10 s hardly counts."""

    def __init__(self) -> None:
        self._before: Counters | None = None
        self.batch_seconds: float | None = None
        self.images_per_second = 0.0

    def measure(self, now: Counters) -> None:
        """Takes note of what was done since it was called last."""
        before, self._before = self._before, now
        if before is None or now.batches == before.batches or now.seconds <= before.seconds:
            return
        seconds = now.seconds - before.seconds
        batch_seconds = seconds / (now.batches - before.batches)
        per_second = (now.images - before.images) / seconds
        if self.batch_seconds is None:
            self.batch_seconds, self.images_per_second = batch_seconds, per_second
            return
        weight = 1 - math.exp(-seconds / MEMORY_SECONDS)
        self.batch_seconds += weight * (batch_seconds - self.batch_seconds)
        self.images_per_second += weight * (per_second - self.images_per_second)


def batches_in_all(trainer: Trainer) -> int | None:
    """Micro-batches of the whole training on one device; None where nothing bounds it."""
    bounds = []
    if trainer.max_epochs not in (None, -1) and math.isfinite(trainer.num_training_batches):
        bounds.append(int(trainer.num_training_batches) * int(trainer.max_epochs or 0))
    if trainer.max_steps not in (None, -1):
        bounds.append(trainer.max_steps * trainer.accumulate_grad_batches)
    return min(bounds, default=None)


def validations(trainer: Trainer, batches_left: int) -> int:
    """How many validations are still to come, about."""
    if not sum(trainer.num_val_batches):
        return 0
    each = trainer.val_check_batch or trainer.num_training_batches
    if trainer.check_val_every_n_epoch and each == trainer.num_training_batches:
        each *= trainer.check_val_every_n_epoch
    return math.ceil(batches_left / each)


def clock(seconds: float) -> str:
    """`0:42`, `12:05`, `3:02:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
