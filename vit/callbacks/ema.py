"""An exponential moving average of the weights, evaluated and kept in place of them."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vit.models.batch_norm import running_statistics


class Ema(Callback):
    """Averages the weights over the steps: average ← decay · average + (1 − decay) · weights.

    With `warmup`, the n-th update uses min(decay, n / (n + 9)), so that the random weights of the
    start are forgotten soon. Validation sees the average, and a checkpoint's `state_dict` holds
    it; the weights being trained lie beside it, under `trained_weights`, for a resumed run.
    Of the buffers BatchNorm's running means and variances are averaged alike, since those of the
    trained weights do not fit the average's; no other is.

    Lightning's own (2.6.6, November 2026) is not used: it swaps buffers too, so the counts of a
    validation are lost, and `test(ckpt_path=…)` after a fit measures the weights that were
    trained instead of the average.

    Args:
        decay: share of the average that each update keeps, from 0 on and below 1.
        warmup: average over fewer steps at the start.
        every_n_steps: optimizer steps from one update to the next.

    Source: Polyak and Juditsky 1992; the warm-up is that of TensorFlow's
    ExponentialMovingAverage.
    """

    def __init__(self, *, decay: float = 0.9998, warmup: bool = True, every_n_steps: int = 1):
        if not 0 <= decay < 1:
            raise ValueError(f"ema.decay={decay}; wanted 0 <= decay < 1, such as 0.9998.")
        if every_n_steps < 1:
            raise ValueError(f"ema.every_n_steps={every_n_steps}; wanted 1 or more.")
        self.decay = decay
        self.warmup = warmup
        self.every_n_steps = every_n_steps
        self.average: dict[str, Tensor] = {}
        self.updates = 0
        self._weights: list[Tensor] = []
        self._step = 0
        self._swapped = False

    def decay_of(self, update: int) -> float:
        """The decay of the n-th update, counted from 1."""
        return min(self.decay, update / (update + 9)) if self.warmup else self.decay

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any("train_mode" in group for o in trainer.optimizers for group in o.param_groups):
            raise ValueError(
                "a schedule-free optimizer averages the weights itself; set ema=none, or choose "
                "another optim."
            )
        weights = trained(pl_module)
        self._weights = list(weights.values())
        if self.average:  # from a checkpoint, read before the model went to its device
            self.average = {
                name: self.average[name].to(w.device, w.dtype) for name, w in weights.items()
            }
        else:
            self.average = {name: w.detach().clone() for name, w in weights.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        if trainer.global_step == self._step:
            return  # gradients were accumulated only
        self._step = trainer.global_step
        if self._step % self.every_n_steps:
            return
        self.updates += 1
        update = get_ema_multi_avg_fn(self.decay_of(self.updates))
        update(list(self.average.values()), self._weights, self.updates)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._swap()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._swapped:
            self._swap()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self._swapped:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, weight in zip(self.average.values(), self._weights, strict=True):
            kept = average.clone()
            average.copy_(weight)
            weight.copy_(kept)
        self._swapped = not self._swapped

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = checkpoint["state_dict"]
        checkpoint["trained_weights"] = {name: state[name] for name in self.average}
        checkpoint["state_dict"] = {**state, **self.average}
        checkpoint["ema_updates"] = self.updates

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return  # the average, which is what is evaluated, has been loaded
        weights = checkpoint["trained_weights"]
        self.average = {name: checkpoint["state_dict"][name].clone() for name in weights}
        self.updates = checkpoint["ema_updates"]
        pl_module.load_state_dict({**checkpoint["state_dict"], **weights})


def trained(module: LightningModule) -> dict[str, Tensor]:
    """The weights that training changes, and what BatchNorm has seen of them, by name."""
    weights: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if p.requires_grad}
    return weights | running_statistics(module)
