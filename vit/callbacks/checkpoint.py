"""last.ckpt to go on from, best.ckpt to keep."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vit.callbacks.stopping import Stopping
from vit.runs.checkpoint import read_checkpoint, write_checkpoint


def checkpoint_callbacks(
    folder: Path,
    monitor: str,
    mode: Literal["max", "min"],
    every_n_steps: int | None = None,
    patience: int | None = None,
    stopping: Stopping | None = None,
) -> list[Callback]:
    """`folder/best.ckpt` by a validation metric, and `folder/last.ckpt` to go on from.

    `every_n_steps` writes last.ckpt inside epochs too; `patience` stops the training after that
    many validations without a better one.
    """
    stopping = stopping or Stopping()
    return [
        stopping,
        BestCheckpoint(folder / "best.ckpt", monitor, mode, patience),
        LastCheckpoint(folder / "last.ckpt", every_n_steps, stopping),
    ]


class BestCheckpoint(Checkpoint):
    """Keeps the state at the best validation, by one metric; ties keep the earlier.

    With `patience`, ends the training after that many validations without a better one. Score
    and count survive a resume. NaN is never better. Raises ValueError where validation does not
    log the metric.

    Lightning's own ModelCheckpoint forgets its best score when the run's folder has moved, and
    its EarlyStopping trains one more epoch when it is resumed at its end.
    """

    def __init__(
        self,
        path: Path,
        monitor: str,
        mode: Literal["max", "min"] = "max",
        patience: int | None = None,
    ):
        if patience is not None and patience < 1:
            raise ValueError(f"checkpoint.patience={patience}; wanted 1 or more, or null.")
        self.path = Path(path)
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.score: float | None = None
        self.since_best = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if_patience_is_over(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        found = trainer.callback_metrics.get(self.monitor)
        if found is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise ValueError(
                f"checkpoint.monitor={self.monitor!r} is not logged by validation, which logs "
                f"{known}; choose one of these."
            )
        value = float(found)
        if self._better(value):
            self.score, self.since_best = value, 0
            trainer.save_checkpoint(self.path, weights_only=False)
        else:
            self.since_best += 1
            self._stop_if_patience_is_over(trainer)

    def _better(self, value: float) -> bool:
        if self.score is None or math.isnan(self.score):
            return True
        return value > self.score if self.mode == "max" else value < self.score

    def _stop_if_patience_is_over(self, trainer: Trainer) -> None:
        if self.patience is not None and self.since_best >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "since_best": self.since_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.score, self.since_best = state_dict["score"], state_dict["since_best"]


class LastCheckpoint(Checkpoint):
    """Writes the state to go on from: after each epoch, every `every_n_steps`, and when stopped.

    Only states that a resumed run reproduces exactly are written: whole optimizer steps, and none
    that a validation follows at once, since Lightning would leave it out after a resume. After
    such a step the training ends, with KeyboardInterrupt, if `stopping` says so.
    """

    def __init__(self, path: Path, every_n_steps: int | None = None, stopping: Any = None):
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(
                f"checkpoint.every_n_steps={every_n_steps}; wanted 1 or more, or null."
            )
        self.path = Path(path)
        self.every_n_steps = every_n_steps
        self._batches: float = math.inf  # of an epoch
        self._validate_every: float | None = None  # batches
        self._over_epochs = False  # whether these are counted over the whole training
        self._due = False
        self._step = 0
        self._whole = False
        self._unsaved = False
        self._stopping: Stopping = stopping or Stopping()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step
        self._batches = trainer.num_training_batches
        self._validate_every = trainer.val_check_batch if trainer.enable_validation else None
        self._over_epochs = trainer.check_val_every_n_epoch is None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._whole = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._unsaved = True
        self._whole = not self._validation_follows(trainer, batch_idx)
        if self.every_n_steps and trainer.global_step != self._step:
            self._step = trainer.global_step
            self._due = self._due or self._step % self.every_n_steps == 0
        if not self._whole or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if self._stopping.due:
            raise KeyboardInterrupt  # Lightning ends the run, and comes to on_exception
        if self._due:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._whole = trainer.fit_loop.batch_idx + 1 < self._batches

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)
        self._whole = True
        if self._stopping.due:
            raise KeyboardInterrupt

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        stopped = isinstance(exception, KeyboardInterrupt | SIGTERMException)
        alone = trainer.world_size == 1
        # Gradients that are being accumulated differ between processes, and are not kept.
        between = (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stopped and self._whole and self._unsaved and (alone or between):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._due = False
        self._unsaved = False

    def _validation_follows(self, trainer: Trainer, batch_idx: int) -> bool:
        """Whether a validation, or the end of the epoch, comes right after this batch."""
        if batch_idx + 1 >= self._batches:
            return True
        if self._validate_every is None:
            return False
        done = (trainer.fit_loop.total_batch_idx if self._over_epochs else batch_idx) + 1
        return done % self._validate_every == 0


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes and reads as vit/runs/checkpoint.py does.

    Lightning stages a file in $TMPDIR instead, which may be another disk: the move is then a copy,
    and a run that is killed meanwhile loses the old checkpoint and the new one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))
