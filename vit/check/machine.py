"""Whether this machine has what a run needs: devices, memory, room on its disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vit.faults import Fault
from vit.runs.nodes import in_allocation


def lacking_for(trainer: Mapping[str, Any]) -> list[Fault]:
    """What this machine would need to train; to check for another machine that is no fault."""
    accelerator, count = trainer.get("accelerator", "auto"), trainer.get("devices", 1)
    gpus = torch.cuda.device_count()
    asks_gpu = accelerator in ("gpu", "cuda")
    lacking = []
    if asks_gpu and not gpus and not torch.backends.mps.is_available():
        message = "asks for a GPU, and torch finds none here; trainer=cpu takes the CPU"
        lacking.append(Fault("trainer.accelerator", message))
    elif gpus and count > gpus and accelerator != "cpu":
        lacking.append(Fault("trainer.devices", f"asks for {count} GPUs; this machine has {gpus}"))
    nodes = trainer.get("num_nodes", 1)
    if nodes > 1 and not in_allocation(nodes):
        message = (
            f"this is no Slurm job of {nodes} machines: give --prepare, then start on each "
            "machine: vit run RUN_DIR --node-rank N --master HOST"
        )
        lacking.append(Fault("trainer.num_nodes", message))
    return lacking


def warn_of_memory(trainer: Mapping[str, Any], needed: int, warnings: list[str]) -> None:
    """The allocator and CUDA itself want some as well, so this is a warning and no fault."""
    has = torch.cuda.get_device_properties(0).total_memory
    if needed > has and trainer.get("accelerator", "auto") != "cpu":
        warnings.append(
            f"a process needs about {needed / 1e9:.1f} GB and the GPU has {has / 1e9:.1f} GB: "
            "lower data.batch_size, or raise trainer.accumulate_grad_batches"
        )


def require_room(run_dir: Path, model: nn.Module, checkpoints: int, faults: list[Fault]) -> None:
    """Weights, two optimizer moments and perhaps an average, in each checkpoint that is kept."""
    numbers = sum(p.numel() * (4 if p.requires_grad else 1) for p in model.parameters())
    needed = numbers * 4 * checkpoints + 50_000_000
    nearest = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    disk = shutil.disk_usage(nearest)
    if not disk.total:
        faults.append(Fault(str(nearest), "nothing can be written there; choose another folder"))
    elif (free := disk.free) < needed:
        faults.append(
            Fault(
                str(run_dir),
                f"{free / 1e9:.1f} GB free, checkpoints and log may take {needed / 1e9:.1f} GB; "
                "choose another folder (hydra.run.dir, of a sweep hydra.sweep.dir)",
            )
        )
