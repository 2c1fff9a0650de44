"""All processes of a run train the same thing, or none does."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class Agreement(Callback):
    """Compares what each process found, before the first step.

    `facts` is what must be equal everywhere: a name, such as "config", and a hash of it. Raises
    RuntimeError naming the ranks that differ and in what, and where the group has another size
    than was promised.
    """

    def __init__(self, facts: Mapping[str, str], world_size: int):
        self._facts = dict(facts)
        self._world_size = world_size

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.world_size != self._world_size:
            raise RuntimeError(
                f"the run was promised {self._world_size} processes; Lightning counts "
                f"{trainer.world_size}. Nothing was trained."
            )
        if self._world_size == 1 or stage != "fit":
            return
        everywhere: list[dict[str, str]] = [{}] * self._world_size
        torch.distributed.all_gather_object(everywhere, self._facts)
        differences = [
            f"rank {rank} has other {name} than rank 0 ({facts[name]}, not {value})"
            for name, value in everywhere[0].items()
            for rank, facts in enumerate(everywhere)
            if facts[name] != value
        ]
        if differences:
            raise RuntimeError(
                f"{'; '.join(differences[:8])}. All machines must share one run folder, one "
                "installation and one copy of the data. Nothing was trained."
            )
