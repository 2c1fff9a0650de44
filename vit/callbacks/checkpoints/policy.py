"""last.ckpt to go on from, best.ckpt to keep."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException

from vit.callbacks.checkpoints.retention import BestKept, RecentKept, forget_orphans
from vit.callbacks.stopping import Stopping

WRITING = ("sharded", "asynchronous")  # how one is written, not which are kept


def policy_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What `checkpoint_callbacks` takes of a run's `checkpoint` settings."""
    return {key: value for key, value in checkpoint.items() if key not in WRITING}


def checkpoint_callbacks(
    folder: Path,
    monitor: str,
    mode: Literal["max", "min"],
    every_n_steps: int | None = None,
    patience: int | None = None,
    stopping: Stopping | None = None,
    keep_last: int = 1,
    keep_best: int = 1,
    keep_every_n_steps: int | None = None,
    keep_every_n_epochs: int | None = None,
) -> list[Callback]:
    """`folder/best.ckpt` by a validation metric, and `folder/last.ckpt` to go on from.

    `every_n_steps` writes last.ckpt inside epochs too; `patience` stops the training after that
    many validations without a better one. What is kept beside the two, and by what names:
    vit/callbacks/checkpoints/retention.py.
    """
    recent = RecentKept(keep_last, keep_every_n_steps, keep_every_n_epochs)
    best = BestKept(keep_best, mode == "max")
    stopping = stopping or Stopping()
    return [
        stopping,
        BestCheckpoint(folder / "best.ckpt", monitor, mode, patience, best),
        LastCheckpoint(folder / "last.ckpt", every_n_steps, stopping, recent),
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
        kept: BestKept | None = None,
    ):
        if patience is not None and patience < 1:
            raise ValueError(f"checkpoint.patience={patience}; wanted 1 or more, or null.")
        self.path = Path(path)
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.score: float | None = None
        self.since_best = 0
        self._kept = kept or BestKept()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            names = [name for _, name in self._kept.kept]
            forget_orphans(self.path.parent, "best-step-*.ckpt", names, trainer.global_step)
        self._stop_if_patience_is_over(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise ValueError(
                f"checkpoint.monitor={self.monitor!r} is not logged by validation, which logs "
                f"{known}; choose one of these."
            )
        value = float(score)
        better = self._better(value)
        if better:
            self.score, self.since_best = value, 0
        else:
            self.since_best += 1
        if (entry := self._kept.entry(trainer.global_step, value, better)) is not None:
            name, keep = entry
            trainer.save_checkpoint(self.path.with_name(name), False, keep)
        self._stop_if_patience_is_over(trainer)

    def _better(self, value: float) -> bool:
        if self.score is None or math.isnan(self.score):
            return True
        return value > self.score if self.mode == "max" else value < self.score

    def _stop_if_patience_is_over(self, trainer: Trainer) -> None:
        if self.patience is not None and self.since_best >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        kept = [list(item) for item in self._kept.kept]
        return {"score": self.score, "since_best": self.since_best, "kept": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.score, self.since_best = state_dict["score"], state_dict["since_best"]
        self._kept.kept = [(score, name) for score, name in state_dict.get("kept", [])]


class LastCheckpoint(Checkpoint):
    """Writes the state to go on from: after each epoch, every `every_n_steps`, and when stopped.

    Only states that a resumed run reproduces exactly are written: whole optimizer steps, and none
    that a validation follows at once, since Lightning would leave it out after a resume. After
    such a step the training ends, with KeyboardInterrupt, if `stopping` says so.
    """

    def __init__(
        self,
        path: Path,
        every_n_steps: int | None = None,
        stopping: Stopping | None = None,
        kept: RecentKept | None = None,
    ):
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
        self._stopping = stopping or Stopping()
        self._kept = kept or RecentKept()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            forget_orphans(self.path.parent, "step-*.ckpt", self._kept.kept, trainer.global_step)
        self._step = trainer.global_step
        self._batches = trainer.num_training_batches
        self._validate_every = trainer.val_check_batch if trainer.enable_validation else None
        self._over_epochs = trainer.check_val_every_n_epoch is None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        self._whole = False

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._unsaved = True
        self._whole = not self._validation_follows(trainer, batch_idx)
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            asked = self.every_n_steps is not None and self._step % self.every_n_steps == 0
            self._due = self._kept.passed(self._step) or asked or self._due
        if not self._whole or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if self._stopping.due:
            raise KeyboardInterrupt  # Lightning ends the run, and comes to on_exception
        if self._due:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._whole = trainer.fit_loop.batch_idx + 1 < self._batches

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, trainer.current_epoch + 1)
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

    def _save(self, trainer: Trainer, epochs_done: int | None = None) -> None:
        keep = self._kept.entry(trainer.global_step, epochs_done)
        trainer.save_checkpoint(self.path, False, keep)
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

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self._kept.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._kept.kept = list(state_dict["kept"])
