"""A run's `trainer` settings, completed with what only the run knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from vit.callbacks.checkpoints.sharding import ShardingStrategy
from vit.frozen import is_sharded
from vit.tasks.synced_batch_norm import SyncedBatchNorm


def launched_by() -> ClusterEnvironment:
    """What started this process: torchrun's agent, or nothing.

    Lightning would look for a scheduler as well: inside of a Slurm job it then takes the job's
    tasks for this run's processes and puts the job back into the queue by itself, and wherever
    `srun` is on the path it warns. Our processes are started by `vit`, whatever runs around them.
    """
    elastic = TorchElasticEnvironment.detect()
    return TorchElasticEnvironment() if elastic else LightningEnvironment()


def syncing(trainer: Mapping[str, Any]) -> list[SyncedBatchNorm]:
    """What takes the place of Lightning's own conversion, where statistics are to be of all."""
    return [SyncedBatchNorm()] if trainer.get("sync_batchnorm") else []


def completed(config: dict[str, Any], folder: Path, world_size: int) -> dict[str, Any]:
    """For `build`: the profiler writes into the folder, the strategy is our own where it shards."""
    return _sharded(_with_profiler(config["trainer"], folder), config, world_size)


def _sharded(trainer: dict[str, Any], config: dict[str, Any], world_size: int) -> dict[str, Any]:
    """Over all processes: Lightning's `auto` would shard over the machines only."""
    if not is_sharded(config):
        return trainer
    decided = ("_target_", "save_distributed_checkpoint")
    options = {key: value for key, value in trainer["strategy"].items() if key not in decided}
    if options.get("data_parallel_size") == "auto":
        options["data_parallel_size"] = world_size
    in_shards = config["checkpoint"].get("sharded", False)
    return {**trainer, "strategy": ShardingStrategy(sharded_checkpoints=in_shards, **options)}


def _with_profiler(trainer: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Lightning's profilers by their short names, writing into the run's folder."""
    kinds: dict[str, type[Profiler]] = {
        "simple": SimpleProfiler,
        "advanced": AdvancedProfiler,
        "pytorch": PyTorchProfiler,
    }
    chosen = trainer.get("profiler")
    if not isinstance(chosen, str) or chosen not in kinds:  # a part is built as it is
        return trainer
    return {**trainer, "profiler": kinds[chosen](dirpath=str(folder), filename="profile")}
