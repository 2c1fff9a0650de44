"""A sign of life that anybody who can see the run's folder can read."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from pytorch_lightning import Callback, LightningModule, Trainer

SECONDS = 1.0


class Heartbeat(Callback):
    """Touches a file when a batch is finished, at most once a second: a hung training does not."""

    def __init__(self, file: Path):
        self._file = file
        self._beaten = 0.0

    def _beat(self, trainer: Trainer) -> None:
        now = monotonic()
        if now - self._beaten >= SECONDS and trainer.is_global_zero:
            self._file.touch()
            self._beaten = now

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._beat(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._beat(trainer)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._beat(trainer)
