"""What the processes of a training send one another in each optimizer step.

Counted, not timed: a process that takes its part in a ring sends (n − 1)/n of what is gathered or
reduced, and twice that where all get the sum. The counts are those of torch's own collectives,
see tests/check/test_communication.py.

Source: Li et al. 2020, arXiv:2006.15704 (DistributedDataParallel); Zhao et al. 2023,
arXiv:2304.11277 (fully sharded), and torch's `fully_shard`, which leaves the parts outside of the
blocks gathered between forward and backward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from vit.frozen import is_sharded, weight_dtype

PADDING_WORTH_SAYING = 0.1  # of what is gathered


def communication(config: Mapping[str, Any], model: Any, count: int) -> dict[str, Any]:
    """What the check tells of a run's `count` processes, as plain values; bytes are of a step.

    `sent_bytes` each process; `all_reduce_bytes`, `all_gather_bytes`, `reduce_scatter_bytes` are
    what takes part in these. Where weights are sharded also `units` that are gathered one after
    another, `shard_bytes` that a process keeps and `padding_bytes` of all shards together.
    """
    size = weight_dtype(config).itemsize
    if not is_sharded(config):
        gradients = sum(p.numel() * size for p in model.parameters() if p.requires_grad)
        return asdict(replicated_traffic(gradients, count))
    blocks, rest = units(model, count, size)
    micro_batches = int(config["trainer"].get("accumulate_grad_batches", 1))
    own, padded = (sum(getattr(u, key) for u in (*blocks, rest)) for key in ("own", "padded"))
    return {
        **asdict(sharded_traffic(blocks, rest, count, micro_batches)),
        "units": len(blocks) + 1,
        "shard_bytes": padded // count,
        "padding_bytes": padded - own,
    }


def warn_of_padding(told: Mapping[str, Any], warnings: list[str]) -> None:
    """Where many processes share small weights, what fills up the shards may exceed them."""
    padding = told.get("padding_bytes", 0)  # none where nothing is sharded
    if padding <= PADDING_WORTH_SAYING * told["reduce_scatter_bytes"]:
        return
    warnings.append(
        f"the weights do not divide by the processes: {padding / 1e6:,.0f} MB of what is gathered "
        "fill up shards; fewer processes, or trainer=ddp where the memory allows"
    )


@dataclass(frozen=True)
class Unit:
    """Weights that are gathered together, in bytes: their own, and padded to equal shards."""

    own: int
    padded: int


@dataclass(frozen=True)
class Traffic:
    """Bytes of one optimizer step for each process: what takes part, and what is sent of it."""

    all_reduce_bytes: int
    all_gather_bytes: int
    reduce_scatter_bytes: int
    sent_bytes: int


def units(model: Any, count: int, bytes_each: int = 4) -> tuple[list[Unit], Unit]:
    """The blocks that are sharded over `count` processes one by one, and all the rest at once.

    `fully_shard` cuts each tensor along its first axis into `count` equal shards, the last of
    which it fills up.
    """
    blocks = [_unit(list(block.parameters()), count, bytes_each) for block in model.shards()]
    inside = {id(p) for block in model.shards() for p in block.parameters()}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return blocks, _unit(rest, count, bytes_each)


def _unit(parameters: list[nn.Parameter], count: int, bytes_each: int) -> Unit:
    own = sum(p.numel() for p in parameters)
    rows = [(p.shape[0] if p.ndim else 1, p.numel()) for p in parameters]
    padded = sum(math.ceil(first / count) * count * numel // max(first, 1) for first, numel in rows)
    return Unit(own * bytes_each, padded * bytes_each)


def sharded_traffic(blocks: list[Unit], rest: Unit, count: int, micro_batches: int = 1) -> Traffic:
    """FSDP2: each micro-batch gathers the blocks forward and again backward, the rest once.

    Gradients are summed in each micro-batch too: Lightning leaves out none of these sums for a
    sharded model.
    """
    of_blocks = sum(block.padded for block in blocks)
    gathered = micro_batches * (rest.padded + 2 * of_blocks)
    scattered = micro_batches * (rest.padded + of_blocks)
    return Traffic(0, gathered, scattered, (gathered + scattered) * (count - 1) // count)


def replicated_traffic(gradients: int, count: int) -> Traffic:
    """DistributedDataParallel: all gradients once a step, after the last micro-batch."""
    return Traffic(gradients, 0, 0, 2 * gradients * (count - 1) // count)
