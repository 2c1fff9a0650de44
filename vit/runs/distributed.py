"""Sums over all processes of a run."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def several_ranks() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of each element over all ranks, in place; every rank must call it.

    Without a process group the values are the sums already.
    """
    if several_ranks():
        dist.all_reduce(values)
    return values


def largest_of_ranks(value: float, device: torch.device) -> float:
    """The largest of the values that all ranks give; every rank must call it."""
    if not several_ranks():
        return value
    largest = torch.tensor(value, dtype=sum_dtype(device), device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest.item()


def sum_dtype(device: torch.device) -> torch.dtype:
    """What sums are kept in: float64, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
