"""Lightning's strategy for sharded weights, with checkpoints that are complete or not there."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.trainer.states import TrainerFn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from vit.callbacks.checkpoints.saving import AtomicCheckpointIO, Keep, commit
from vit.runs import shards


class ShardingStrategy(ModelParallelStrategy):
    """ModelParallelStrategy whose checkpoints go through our AtomicCheckpointIO.

    Lightning's own (2.6.6, November 2026) writes shards over the ones before, so that a run killed
    meanwhile has no checkpoint at all, and reads a pickle with them. Here whole files and shards
    are read by any number of processes; `sharded_checkpoints` chooses what is written.
    """

    def __init__(self, *, sharded_checkpoints: bool = False, **options: Any):
        super().__init__(**{**options, "save_distributed_checkpoint": sharded_checkpoints})
        self._sharded = sharded_checkpoints
        self._group: Any = None

    def setup_environment(self) -> None:
        super().setup_environment()
        if self._group is None:
            # Of its own: a write in the background must not mix with what the training exchanges.
            self._group = dist.new_group(backend="gloo", timeout=timedelta(minutes=30))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        path = Path(self.broadcast(filepath))
        if not self._sharded:
            if self.is_global_zero:
                self._writer.save_checkpoint(checkpoint, path, storage_options)
            return
        token = f"step-{int(checkpoint['global_step']):06d}-{secrets.token_hex(4)}"
        name, keep = self.broadcast(token), storage_options or Keep()

        def write(held: dict[str, Any]) -> None:
            rest = shards.write_shards(held, path, name, self._group)
            if self.is_global_zero:
                commit(rest, path, keep)

        self._writer.do(write, checkpoint)

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        path = Path(self.broadcast(checkpoint_path))
        self._writer.wait()
        self.barrier("the checkpoint is written")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if "shards" not in content:
            return super().load_checkpoint(path, weights_only=True)
        assert self.model is not None and self.lightning_module is not None
        fitting = self.lightning_module.trainer.state.fn == TrainerFn.FITTING
        optimizers = self.optimizers if fitting else []
        here = {
            "state_dict": get_model_state_dict(self.model),
            "optimizer_states": [get_optimizer_state_dict(self.model, o) for o in optimizers],
        }
        named, _ = shards.split(here)
        shards.fill(named, content, path)
        whole = shards.merged(named, content)
        set_model_state_dict(self.model, whole["state_dict"])
        for optimizer, state in zip(optimizers, whole["optimizer_states"], strict=False):
            set_optimizer_state_dict(self.model, optimizer, state)
        return content

    @property
    def _writer(self) -> AtomicCheckpointIO:
        writer = self.checkpoint_io
        assert isinstance(writer, AtomicCheckpointIO)
        return writer
