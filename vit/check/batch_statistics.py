"""BatchNorm, whose numbers depend on how a batch is cut up: what to refuse, what to warn of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vit.faults import Fault
from vit.frozen import accumulation, is_sharded, weight_dtype
from vit.models.batch_norm import batch_norm_parts
from vit.tuning.freezing import keep_still


def batch_statistics(
    config: Mapping[str, Any], model: Any, data: Any, micro_batch: int, processes: int
) -> tuple[list[Fault], list[str]]:
    """Faults, and warnings; both are empty for a model without BatchNorm that learns.

    `micro_batch` is the number of samples that a process computes at once. Replicas of a model
    (trainer=ddp) take the running statistics of the first process before each forward pass, so
    that they are the same on all; shards of one have nothing that would do so.
    """
    if not any(part.training for part in batch_norm_parts(model).values()):
        return [], []  # none, or what `tuning` has frozen
    trainer = config["trainer"]
    name = getattr(model.backbone, "name", type(model.backbone).__name__)
    synced = bool(trainer.get("sync_batchnorm")) and processes > 1
    faults, warnings = [], []
    if is_sharded(dict(config)):
        message = (
            f"{name} has BatchNorm, whose running statistics would differ from process to process "
            "where weights are in shards; take trainer=ddp"
        )
        faults.append(Fault("trainer.strategy", message))
    if synced and trainer.get("accelerator") == "cpu":
        message = "torch has it for GPUs alone; take false"
        faults.append(Fault("trainer.sync_batchnorm", message))
    if micro_batch == 1 and not synced and (refusal := _of_one(model, data, weight_dtype(config))):
        faults.append(
            Fault(
                "data.batch_size",
                f"leaves one image at a time to BatchNorm of {name}, which needs more of them or "
                f"larger ones ({refusal}); wanted 2 or more for each process and micro-batch",
            )
        )
    cut = processes > 1 and not synced, accumulation(config) > 1
    if any(cut):
        each = " and ".join(
            word for word, is_cut in zip(("process", "micro-batch"), cut, strict=True) if is_cut
        )
        advice = "; trainer.sync_batchnorm=true joins the processes, on GPUs" if cut[0] else ""
        warnings.append(
            f"{name} has BatchNorm: its statistics are those of the {micro_batch} images of each "
            f"{each}, so its numbers depend on how a batch is cut up{advice}"
        )
    return faults, warnings


def _of_one(model: Any, data: Any, dtype: torch.dtype) -> str | None:
    """What torch says of a batch of one sample in training; None if it takes it."""
    training = model.training
    try:
        with torch.device("meta"), torch.no_grad():
            keep_still(model.train())(*data.facts.example(1, dtype))
    except ValueError as error:
        return str(error)
    finally:
        keep_still(model.train(training))
    return None
