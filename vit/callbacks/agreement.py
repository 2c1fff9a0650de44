"""All processes of a run train the same thing, or none does."""

from __future__ import annotations

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class Agreement(Callback):
    """Compares what each process read, before the first step.

    `told` is what must be equal everywhere, such as the hash of the config. Raises RuntimeError
    naming the ranks that differ, and where the group has another size than was promised.
    """

    def __init__(self, told: str, world_size: int):
        self._told = told
        self._world_size = world_size

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.world_size != self._world_size:
            raise RuntimeError(
                f"the run was promised {self._world_size} processes; Lightning counts "
                f"{trainer.world_size}. Nothing was trained."
            )
        if self._world_size == 1:
            return
        told: list[str | None] = [None] * self._world_size
        torch.distributed.all_gather_object(told, self._told)
        differing = [rank for rank, other in enumerate(told) if other != told[0]]
        if differing:
            ranks = ", ".join(map(str, differing))
            raise RuntimeError(
                f"rank {ranks} read another config than rank 0 ({self._told[:12]} here); all must "
                "be started on one run folder. Nothing was trained."
            )
