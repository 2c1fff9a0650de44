"""Facts about a run that its frozen config alone decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch


def processes(config: Mapping[str, Any]) -> int:
    """How many processes a run is promised, over all its machines."""
    trainer = config["trainer"]
    return int(trainer.get("devices", 1)) * int(trainer.get("num_nodes", 1))


def accumulation(config: Mapping[str, Any]) -> int:
    return int(config["trainer"].get("accumulate_grad_batches", 1))


def micro_batches(config: Mapping[str, Any], batches: int) -> int:
    """Of one epoch's `batches`, how many the trainer's limits leave."""
    trainer = config["trainer"]
    limit = trainer.get("limit_train_batches", 1.0)
    if limit is not None:
        batches = min(limit, batches) if isinstance(limit, int) else int(batches * limit)
    if trainer.get("overfit_batches"):
        part = trainer["overfit_batches"]
        batches = min(part, batches) if isinstance(part, int) else int(batches * part)
    if trainer.get("fast_dev_run"):
        batches = int(trainer["fast_dev_run"])
    return batches


def total_steps(config: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Optimizer steps of the whole training, and of one epoch, for `batches` micro-batches."""
    trainer = config["trainer"]
    per_epoch = max(math.ceil(micro_batches(config, batches) / accumulation(config)), 1)
    epochs, most = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    steps = per_epoch * epochs if epochs not in (None, -1) else most
    return (min(steps, most) if most not in (None, -1) else steps), per_epoch


def weight_dtype(config: Mapping[str, Any]) -> torch.dtype:
    """What Lightning keeps the weights in: half only where the precision says it is `true`."""
    kind, _, how = str(config["trainer"].get("precision")).partition("-")
    halves = {"bf16": torch.bfloat16, "16": torch.float16}
    return halves.get(kind, torch.float32) if how == "true" else torch.float32


def is_sharded(config: Mapping[str, Any]) -> bool:
    """Whether the trainer's strategy gives each process a part of the weights."""
    strategy = config["trainer"].get("strategy")
    target = strategy.get("_target_", "") if isinstance(strategy, dict) else ""
    return target.endswith(".ModelParallelStrategy")


def without_weights(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose backbone starts from no weights: those of a checkpoint come next."""
    backbone = config["backbone"]
    if not backbone.get("weights"):
        return dict(config)
    return {**config, "backbone": {**backbone, "weights": None}}
