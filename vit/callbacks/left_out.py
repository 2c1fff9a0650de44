"""Which samples could not be read and were skipped: named once each, and counted."""

from __future__ import annotations

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger("vit")

NAMED = 5  # of a split that are named on the screen; all are in the log


class LeftOut(Callback):
    """Collects the `left_out` of batches, by split; a run that goes on keeps what it knew."""

    def __init__(self, unit: str = "image"):
        self._unit = unit
        self._lines_of: dict[str, dict[str, None]] = {}  # in the order in which they came

    def state_dict(self) -> dict[str, Any]:
        lines_of = {split: list(lines) for split, lines in self._lines_of.items()}
        return {"found": lines_of} if lines_of else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._lines_of = {
            str(split): dict.fromkeys(lines) for split, lines in state_dict["found"].items()
        }

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        self.note("train", batch)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, *_: int
    ) -> None:
        self.note("val", batch)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, *_: int
    ) -> None:
        self.note(getattr(pl_module, "tested", "test"), batch)

    def note(self, split: str, batch: object) -> None:
        for line in getattr(batch, "left_out", ()):
            known = self._lines_of.setdefault(split, {})
            if line in known:
                continue
            known[line] = None
            say = log.warning if len(known) <= NAMED else log.info
            say("left out of %s: %s", split, line)
            if len(known) == NAMED + 1:
                log.warning("further %ss that are left out of %s: see the log", self._unit, split)

    def counts(self) -> dict[str, int]:
        """Split → how many, over all processes; every one of them has to ask."""
        lines_of = {split: set(lines) for split, lines in self._lines_of.items()}
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            everywhere: list[dict[str, set[str]]] = [{}] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(everywhere, lines_of)
            for other in everywhere:
                for split, lines in other.items():
                    lines_of[split] = lines_of.get(split, set()) | lines
        return {split: len(lines) for split, lines in sorted(lines_of.items())}
