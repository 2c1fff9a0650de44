"""What the model says of a few validation images, in the tracker beside the numbers."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn


class Pictures(Callback):
    """Logs what `task.pictures()` gives after the 1st, 2nd, 4th, 8th … validation and the last.

    Entries are what W&B's images take: `image`, and where there are any `boxes` and `masks`. The
    first process logs what it has seen itself; nothing is drawn where no logger takes images.
    """

    def __init__(self) -> None:
        self._validations = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self._validations += 1
        count = self._validations
        last = trainer.max_epochs == trainer.current_epoch + 1
        if count & (count - 1) and not last:  # no power of two
            return
        task: Any = pl_module
        takers: list[Any] = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        entries = task.pictures() if takers else []
        if not entries:
            return
        images = [entry["image"] for entry in entries]
        drawn = {
            key: [entry[key] for entry in entries]
            for key in ("boxes", "masks")
            if key in entries[0]
        }
        for logger in takers:
            logger.log_image("val/pictures", images, step=trainer.global_step, **drawn)

    def state_dict(self) -> dict[str, int]:
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validations = state_dict["validations"]
