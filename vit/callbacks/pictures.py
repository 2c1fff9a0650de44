"""What the model says of a few images, and what it gets most wrong, beside the numbers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from vit.runs.mistake_gallery import shown, write_album

FIRST_MISTAKES = 8  # validations; before that nearly all is one, and drawing them is not free
log = logging.getLogger("vit")


class Pictures(Callback):
    """Logs pictures after the 1st, 2nd, 4th, 8th … validation and the last.

    What `task.pictures()` gives becomes `val/pictures`: entries are what W&B's images take:
    `image`, and where there are any `boxes` and `masks`. The first process logs what it has seen
    itself, and nothing is drawn where no logger takes images. What `task.mistakes()` gives, the
    `most` worst images of all processes with words under them, becomes `val/mistakes`, from the
    8th validation on, and after a test `test/mistakes`; with a run's folder they are written into
    that as well (vit/runs/mistake_gallery.py).
    """

    def __init__(self, run_dir: Path | None = None, most: int = 0) -> None:
        self._run_dir, self._most = run_dir, most
        self._validations = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self._validations += 1
        count = self._validations
        last = trainer.max_epochs == trainer.current_epoch + 1
        if count & (count - 1) and not last:  # no power of two
            return
        self._log_pictures(trainer, pl_module)
        if last or count >= FIRST_MISTAKES:
            self._log_mistakes(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task: Any = pl_module
        self._log_mistakes(trainer, pl_module, task.tested)

    def _log_pictures(self, trainer: Trainer, task: Any) -> None:
        takers = image_loggers(trainer)
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

    def _log_mistakes(self, trainer: Trainer, task: Any, split: str) -> None:
        takers = image_loggers(trainer)
        if not trainer.is_global_zero or not self._most or not (takers or self._run_dir):
            return
        step = trainer.global_step
        when = () if trainer.state.fn == TrainerFn.TESTING else (step, trainer.current_epoch)
        try:
            album = task.mistakes(split, self._most)
            if album is not None and self._run_dir is not None:
                write_album(self._run_dir, split, album, *when)
        except (OSError, ValueError) as error:  # an image is gone, a disk full: no end of a run
            log.warning("no pictures of what %s got wrong: %s", split, error)
            return
        if album is None or not album.mistakes:
            return
        images = [shown(each.image, each.across, each.largest) for each in album.mistakes]
        words = [mistake.words for mistake in album.mistakes]
        for logger in takers:
            logger.log_image(f"{split}/mistakes", images, step=step, caption=words)

    def state_dict(self) -> dict[str, int]:
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validations = state_dict["validations"]


def image_loggers(trainer: Trainer) -> list[Any]:
    """Those of the loggers that take images."""
    return [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
