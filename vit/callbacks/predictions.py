"""What the model says of each test sample, into the run's folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vit.runs.predictions import write_predictions

log = logging.getLogger("vit")


class StoredPredictions(Callback):
    """Writes what `task.predictions()` tells after a test; see vit/runs/predictions.py."""

    def __init__(self, run_dir: Path):
        self._run_dir = run_dir

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task: Any = pl_module
        predictions = task.predictions(task.tested) if trainer.is_global_zero else None
        if predictions is None:
            return
        try:
            path = write_predictions(self._run_dir, task.tested, predictions)
        except OSError as error:  # a full disk: the numbers are worth more than this file
            log.warning("predictions could not be kept: %s", error)
            return
        log.info("predictions of %d samples: %s", len(predictions), path.name)
