"""Every number of a run on its way to metrics.jsonl, the trackers and the log."""

from __future__ import annotations

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from vit.callbacks.nonfinite import Keep, require_finite, require_finite_weights
from vit.callbacks.throughput import Counters, Throughput
from vit.runs.record import Recorder

log = logging.getLogger("vit")


class Record(Callback):
    """Writes means over the last `log_every_n_steps` steps, and the validation when it ends.

    Every line has the optimizer steps done as its step, in the file and for the trackers alike.
    The norm of the gradients (before clipping) and the learning rate are those of the step that
    is written. Results go under `metrics`, the clock under `timing`.

    A loss that is not finite ends the run with FloatingPointError when its step is written, or
    before, where a validation or a checkpoint comes first: broken weights never replace good ones.
    `keep` is given the batch that it began with. `unit` is what the log calls a sample.
    """

    def __init__(
        self,
        recorder: Recorder,
        throughput: Throughput,
        keep: Keep | None = None,
        unit: str = "image",
    ):
        self._recorder = recorder
        self._unit = unit
        self._keep = keep
        self._throughput = throughput
        self._counted = Counters()
        self._of_step: dict[str, float | torch.Tensor] = {}
        self._flushed = 0
        self._train: dict[str, float] = {}
        self._validated: dict[str, float] = {}
        self._timing: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._counted = self._throughput.counters
        self._flushed = trainer.global_step  # a checkpoint is written after the flush of its step

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        # Lightning has already divided them by the loss scale, and not yet clipped them.
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self._of_step = {
                "lr": max(group["lr"] for group in optimizer.param_groups),
                "train/grad_norm": torch.nn.utils.get_total_norm(gradients),
            }

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        step = trainer.global_step
        if step % trainer.log_every_n_steps == 0 and step != self._flushed:  # type: ignore[attr-defined]
            self._flush(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self._flushed:
            self._flush(trainer, pl_module)
        if trainer.is_global_zero:
            metrics = {**self._train, **self._validated}
            log.info(epoch_line(trainer, metrics, self._timing, self._unit))
        self._validated = {}  # an epoch without a validation tells none

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            require_finite(trainer, pl_module, self._keep)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            require_finite(trainer, pl_module, self._keep)
            require_finite_weights(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._validated = _validated(trainer)
            self._write(trainer, self._validated, {})

    def _flush(self, trainer: Trainer, task: Any) -> None:
        self._flushed = trainer.global_step
        metrics = {
            **task.running.flush(task.device),
            **{name: float(value) for name, value in self._of_step.items()},
        }
        self._of_step = {}
        if metrics:
            self._train = metrics
        now = self._throughput.counters
        timing = self._throughput.since(self._counted)
        self._counted = now
        timing |= self._throughput.memory()
        self._timing |= timing
        self._write(trainer, metrics, timing)
        require_finite(trainer, task, self._keep)

    def _write(self, trainer: Trainer, metrics: dict[str, float], timing: dict[str, float]) -> None:
        if not trainer.is_global_zero or not (metrics or timing):
            return
        step, epoch = trainer.global_step, trainer.current_epoch
        self._recorder.write(step, epoch, metrics, timing)
        timed = {f"timing/{name}": value for name, value in timing.items()}
        for logger in trainer.loggers:
            logger.log_metrics({**metrics, **timed, "epoch": epoch}, step=step)


def _validated(trainer: Trainer) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("val/")
    }


def epoch_line(
    trainer: Trainer, metrics: dict[str, float], timing: dict[str, float], unit: str
) -> str:
    """`epoch 3/20  step 1200  train/loss 0.5310  val/accuracy 0.9120  1,840 images/s`."""
    shown = [
        f"{name} {value:.3g}" if name in ("lr", "train/grad_norm") else f"{name} {value:.4f}"
        for name, value in metrics.items()
    ]
    if "images_per_second" in timing:
        shown.append(f"{timing['images_per_second']:,.0f} {unit}s/s")
    return "  ".join([f"epoch {_epoch(trainer)}", f"step {trainer.global_step}", *shown])


def _epoch(trainer: Trainer) -> str:
    last = trainer.max_epochs
    return f"{trainer.current_epoch + 1}" + (f"/{last}" if last not in (None, -1) else "")
