"""The learning rate where the epochs of `extend` begin."""

from __future__ import annotations

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import LambdaLR


class RatesOfNow(Callback):
    """Sets the rates to what the schedule says of the step that comes.

    A checkpoint holds them as well, as the schedule had them when it was written: at the end of a
    finished run that is a rate for a step which was never to come. Anywhere else both agree, bit
    for bit.
    """

    @torch.no_grad()
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for configured in trainer.lr_scheduler_configs:
            scheduler = configured.scheduler
            if not isinstance(scheduler, LambdaLR):
                continue
            step = scheduler.last_epoch
            rates = [
                base * scale(step)
                for base, scale in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
            ]
            for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
