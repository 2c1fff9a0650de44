"""What the look after a training costs: a trained run looks again, ROUNDS times.

    python tests/explain/look_cost.py RUN_DIR ROUNDS

One thread, a W&B run offline. Tells the CPU seconds of a look, and what share that is of the
training and of one epoch by the CPU seconds that the run itself has recorded.
"""

import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import WandbLogger

from vit.explain.after_training import look_back
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_data


def main(run_dir, rounds):
    warnings.simplefilter("ignore")
    os.environ.setdefault("WANDB_SILENT", "true")
    torch.set_num_threads(1)
    folder = RunFolder(Path(run_dir))
    config, results = folder.config(), folder.results()
    data = assemble_data(config)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    quiet |= {"enable_checkpointing": False, "accelerator": "cpu"}
    taken = []
    with tempfile.TemporaryDirectory() as place:
        logger = WandbLogger(save_dir=place, offline=True)
        logger.experiment.config.update({})
        trainer = lightning.Trainer(logger=logger, **quiet)
        for _ in range(int(rounds) + 1):  # the first warms up
            began = time.process_time()
            look_back(folder.path, data, config["watch"]["attention"], trainer, ())
            taken.append(time.process_time() - began)
    look, training = statistics.median(taken[1:]), results["timing"]["cpu_seconds"]
    epoch = training / results["epochs"]
    print(f"first {taken[0]:.3f} s, then {min(taken[1:]):.3f} to {max(taken[1:]):.3f} s")
    print(f"a look {look:.3f} s; an epoch {epoch:.2f} s, {results['epochs']} of them")
    print(f"{look / epoch:.1%} of an epoch, {look / training:.2%} of the training")


if __name__ == "__main__":
    main(*sys.argv[1:])
