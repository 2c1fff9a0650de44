"""A schedule that writes down what its process trains."""

import gc
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from vit.optim.schedules import Cosine
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash


@dataclass(kw_only=True)
class RankNotes(Cosine):
    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        if step == 3 and "RANK" in os.environ:
            folder = Path(sys.argv[2])  # vit run RUN_DIR
            config = RunFolder(folder).config()
            from vit.optim.optimizer import Optim

            (optim,) = {item.lr for item in gc.get_objects() if isinstance(item, Optim)}
            notes = {"config": config_hash(config), "lr": optim}
            (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(notes))
        return super().scale(step, total_steps, steps_per_epoch)
