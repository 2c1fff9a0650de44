"""A loss or a weight that is no longer a number ends the run, and says where it began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch.distributed.tensor import DTensor

from vit.runs.distributed import sum_over_ranks

NAMED = 8  # images in the message
# Of a step, an epoch and some training images: keeps their batch, and returns what to say of it.
Keep = Callable[[int, int, list[int]], str]


def require_finite(trainer: Trainer, task: Any, keep: Keep | None = None) -> None:
    """Raises FloatingPointError where a training loss since the last flush was not finite.

    Waits for the device, so it is asked only when the metrics are flushed. Every rank must ask at
    the same step, and all get the same answer; the first one has the batch kept, whichever saw it.
    """
    first_bad = task.running.first_bad(task.device)
    if first_bad is None:
        return
    step, samples, rank = first_bad
    shown = ", ".join(str(sample) for sample in samples[:NAMED])
    more = f" and {len(samples) - NAMED} more" if len(samples) > NAMED else ""
    process = f", on rank {rank}," if trainer.world_size > 1 else ""
    # With `overfit_batches` each epoch has the order and the augmentation of the first.
    epoch = 0 if trainer.overfit_batches else trainer.current_epoch  # type: ignore[attr-defined]
    kept = keep(step, epoch, samples) if keep is not None and trainer.is_global_zero else ""
    raise FloatingPointError(
        f"the loss was NaN or infinite at step {step} (epoch {trainer.current_epoch}){process} on "
        f"the training samples {shown}{more}. {kept}Lower optim.lr, lengthen "
        "schedule.warmup_epochs, set trainer.gradient_clip_val=1.0, or look at these samples."
    )


def require_finite_weights(trainer: Trainer, module: LightningModule) -> None:
    """Raises FloatingPointError where a weight is not finite, as after an infinite gradient.

    Waits for the device once; asked before a checkpoint is written. Where each rank has a shard
    of the weights, all ask together and get the same answer.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    shards = [p.to_local() if isinstance(p, DTensor) else p for _, p in named]
    bad = torch.stack([~shard.isfinite().all() for shard in shards]).int()
    if any(isinstance(p, DTensor) for _, p in named):
        sum_over_ranks(bad)
    nonfinite = [name for (name, _), count in zip(named, bad.tolist(), strict=True) if count]
    if nonfinite:
        raise FloatingPointError(
            f"{len(nonfinite)} weights are NaN or infinite after step {trainer.global_step} (epoch "
            f"{trainer.current_epoch}), first {nonfinite[0]}; no checkpoint was written over a "
            "good one. Lower optim.lr, or set trainer.gradient_clip_val=1.0."
        )
