"""Schedule-free optimizers train one set of weights and want another to be evaluated."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor


class ScheduleFree(Callback):
    """Evaluates and keeps the averaged weights of a schedule-free optimizer.

    Does nothing for other optimizers. A checkpoint's `state_dict` holds the averaged weights;
    those being trained lie beside it, under `trained_weights`, for a resumed run.

    The weights being trained are put back as they were, not computed back from the average:
    the optimizer's own `eval()` and `train()` in turn change them by rounding errors, so a run
    that is looked at more often would end elsewhere.

    Source: Defazio et al. 2024, arXiv:2405.15682.
    """

    def __init__(self) -> None:
        self._optimizers: list[Any] = []
        self._kept: dict[Tensor, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._optimizers = [o for o in trainer.optimizers if _is_schedule_free(o)]
        for optimizer in self._optimizers:
            optimizer.train()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._show()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_back()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._put_back()

    @torch.no_grad()
    def _show(self) -> None:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                self._kept.update({p: p.detach().clone() for p in group["params"]})
            optimizer.eval()

    @torch.no_grad()
    def _put_back(self) -> None:
        if not self._kept:
            return
        for optimizer in self._optimizers:
            optimizer.train()
        for parameter, kept in self._kept.items():
            parameter.copy_(kept)
        self._kept = {}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self._optimizers:
            return
        names = {p: name for name, p in pl_module.named_parameters()}
        trained = {name: p.detach().clone() for p, name in names.items() if p.requires_grad}
        self._show()
        averaged = {names[p]: p.detach().clone() for p in self._kept}  # type: ignore[index]
        self._put_back()
        checkpoint["trained_weights"] = trained
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **averaged}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn == TrainerFn.FITTING and "trained_weights" in checkpoint:
            weights = checkpoint["trained_weights"]
            pl_module.load_state_dict({**checkpoint["state_dict"], **weights})


def _is_schedule_free(optimizer: torch.optim.Optimizer) -> bool:
    return all("train_mode" in group for group in optimizer.param_groups)
