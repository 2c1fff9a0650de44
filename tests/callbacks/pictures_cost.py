"""What pictures and stored predictions cost: epochs with and without them, in turn.

    python tests/callbacks/pictures_cost.py ROUNDS [OVERRIDE…]

One process, one thread, a W&B run offline on both sides. Tells the CPU seconds of an epoch with its
validation, after which the worst mistakes are drawn each time, and of these what drawing took by
itself, which a busy machine blurs less; a run draws them only after its 8th, 16th, 32nd …
validation and its last.
"""

import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import WandbLogger

from vit.callbacks.pictures import Pictures
from vit.cli.compose import compose
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task


class Timed(Pictures):
    """Tells the CPU seconds of all that it draws."""

    def __init__(self, *given):
        super().__init__(*given)
        self.seconds = 0.0

    def on_validation_end(self, trainer, pl_module):
        began = time.process_time()
        super().on_validation_end(trainer, pl_module)
        self.seconds += time.process_time() - began


def main(rounds, *overrides):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fast = ["schedule=constant", "schedule.warmup_epochs=0"]
    config = compose(["experiment=digits", *fast, *overrides])
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    keeper, taken, drawing = task.per_sample, {"with": [], "without": []}, []
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "num_sanity_val_steps": 0, "accelerator": "cpu"}
    with tempfile.TemporaryDirectory() as place:
        logger = WandbLogger(save_dir=place, offline=True)
        logger.experiment.config.update({})
        for number in range(2 * int(rounds) + 1):
            side = ("with", "without")[(number + number // 2) % 2]  # with, without, without, with
            task.per_sample = keeper if side == "with" else None
            callbacks = [Timed(Path(place), 12)] if side == "with" else []
            own = {"max_epochs": 1, "logger": logger, "callbacks": callbacks}
            trainer = lightning.Trainer(use_distributed_sampler=False, **own, **quiet)
            loaders = data.loader("train"), data.loader("val")
            began = time.process_time()
            trainer.fit(task, *loaders)
            if number:  # the first warms up
                taken[side].append(time.process_time() - began)
                drawing += [callback.seconds for callback in callbacks]
                print(side, f"{taken[side][-1]:.3f}", flush=True)
    medians = {side: statistics.median(found) for side, found in taken.items()}
    drawn = statistics.median(drawing)
    print(f"drawing {1e3 * drawn:.1f} ms, {drawn / medians['without']:.2%} of an epoch without")
    print(f"medians {medians}, ratio {medians['with'] / medians['without']:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
