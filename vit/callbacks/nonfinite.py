"""A loss that is no longer a number ends the run, and says with which images."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

NAMED = 8  # images in the message


class NonFiniteGuard(Callback):
    """Raises FloatingPointError once a training loss was NaN or infinite.

    Asks only where the metrics are flushed anyway and before a checkpoint is written, so that no
    step waits for the device and no broken weights replace good ones.
    """

    def __init__(self) -> None:
        self._step = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step != self._step and step % trainer.log_every_n_steps == 0:
            self._check(trainer, pl_module)
        self._step = step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._check(trainer, pl_module)

    def _check(self, trainer: Trainer, task: Any) -> None:
        found = task.first_bad() if trainer.state.fn == TrainerFn.FITTING else None
        if found is None:
            return
        step, samples = found
        shown = ", ".join(str(sample) for sample in samples[:NAMED])
        more = f" and {len(samples) - NAMED} more" if len(samples) > NAMED else ""
        raise FloatingPointError(
            f"the loss was NaN or infinite at step {step} (epoch {trainer.current_epoch}) on the "
            f"training images {shown}{more}. Lower optim.lr, lengthen schedule.warmup_epochs, set "
            "trainer.gradient_clip_val=1.0, or look at these images."
        )
