"""A trained run measured on a split, in the same way and with the same sums as in training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch

from vit.build import build_slot
from vit.callbacks.left_out import LeftOut
from vit.callbacks.watch import Watch
from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.trust import trusted
from vit.schema import slot_faults
from vit.tasks.assembly import assemble_data, assemble_task
from vit.tasks.log import silenced
from vit.tasks.stored import stored_config
from vit.tasks.trainer import launched_by
from vit.trained import Trained, load, refusing_targets, usable_device


def evaluate(
    run_dir: str,
    data_config: dict[str, Any] | None,
    split: str | None,
    checkpoint: str,
    device: str,
    allow_targets: tuple[str, ...],
) -> dict[str, Any]:
    """Plain values: metrics named `split/…`, tables, the number of images.

    No `split` means test, or val where the data have no test. Predictions and pictures of a run's
    own data at its selected checkpoint are written into its folder, as after training, unless
    `watch` says otherwise; in a folder that is not to be written they are left out.
    """
    trained = load(run_dir, checkpoint=checkpoint, allow_targets=allow_targets)
    folder = RunFolder(Path(run_dir))
    config = stored_config(folder, trusted(allow_targets))  # of the task's parts, too
    if data_config is not None:
        faults = slot_faults("data", data_config, allow_targets)
        if faults:
            raise Refused(faults)
        config = {**config, "data": data_config}
    place = usable_device(device)
    try:
        data = assemble_data(config, allow_targets)
        faults = data.faults()
        lengths, facts = data.lengths, data.facts
    except ValueError as error:
        raise Refused([Fault("data", str(error))]) from error
    if faults:
        raise Refused(faults)
    split = split or ("test" if "test" in lengths else "val")
    if split not in lengths:
        raise Refused([Fault("--split", f"this data has no {split!r}, only {', '.join(lengths)}")])
    _require_same_classes(trained, facts.class_names)
    # As the model was trained, whatever the data say.
    data.use_checkpoint_facts(trained.facts, trained.transform)
    with torch.no_grad():
        output = trained.model(*data.facts.example(2))
    if message := trained.spec.ask(trained.spec.check_output, output, 2, data):
        raise Refused([Fault("data", f"does not fit the run's model, which {message}")])
    with refusing_targets(folder):
        task = assemble_task({**config, "compile": False}, trained.model, data, allow_targets)
        watch = build_slot("watch", config, allow_targets) if config.get("watch") else Watch()
    task.tested = split
    own = data_config is None and checkpoint == "best" and os.access(run_dir, os.W_OK)
    kept = watch.after_test(Path(run_dir)) if own else []
    torch.set_num_threads(config["threads"])
    left_out = LeftOut(data.unit)
    with silenced():
        trainer = lightning.Trainer(
            accelerator=place.type,
            devices=1 if place.type == "cpu" else [place.index or 0],
            logger=False,
            callbacks=[left_out, *kept],
            plugins=[launched_by()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            precision=config["trainer"].get("precision", "32-true"),
        )
        # Lightning's test loop: the same code and the same sums, whatever the split is called.
        measured = trainer.test(task, data.loader(split), verbose=False)[0]
    return {
        "schema_version": 1,
        "run": str(Path(run_dir)),
        "split": split,
        "images": lengths[split],
        "unit": data.unit,
        "metrics": {f"{split}/{key.split('/', 1)[1]}": value for key, value in measured.items()},
        "tables": task.tables(),
        **({"left_out": counts[split]} if (counts := left_out.counts()) else {}),
        **({"counted": dict(task.counted)} if task.counted else {}),
    }


def _require_same_classes(trained: Trained, names: tuple[str, ...]) -> None:
    if names != trained.class_names:
        raise Refused(
            [
                Fault(
                    "data",
                    f"holds the classes {_listed(names)}; the run knows "
                    f"{_listed(trained.class_names)}",
                )
            ]
        )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f", … ({len(names)} in all)" if len(names) > 6 else "")
