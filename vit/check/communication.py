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
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from vit.frozen import is_sharded, weight_dtype
from vit.runs.check_report import TrafficReport

PADDING_WORTH_SAYING = 0.1  # of what is gathered


def traffic_of(config: Mapping[str, Any], model: Any, count: int) -> TrafficReport:
    """Of a run's `count` processes."""
    size = weight_dtype(config).itemsize
    if not is_sharded(config):
        gradients = sum(p.numel() * size for p in model.parameters() if p.requires_grad)
        return replicated_traffic(gradients, count)
    blocks, rest = units(model, count, size)
    micro_batches = int(config["trainer"].get("accumulate_grad_batches", 1))
    every = (*blocks, rest)
    padded = sum(unit.padded for unit in every)
    return replace(
        sharded_traffic(blocks, rest, count, micro_batches),
        units=len(every),
        shard_bytes=padded // count,
        padding_bytes=padded - sum(unit.unpadded for unit in every),
    )


def warn_of_padding(traffic: TrafficReport, warnings: list[str]) -> None:
    """Where many processes share small weights, what fills up the shards may exceed them."""
    padding = traffic.padding_bytes or 0  # none where nothing is sharded
    if padding <= PADDING_WORTH_SAYING * traffic.reduce_scatter_bytes:
        return
    warnings.append(
        f"the weights do not divide by the processes: {padding / 1e6:,.0f} MB of what is gathered "
        "fill up shards; fewer processes, or trainer=ddp where the memory allows"
    )


@dataclass(frozen=True)
class Unit:
    """Weights that are gathered together, in bytes: as they are, and padded to equal shards.

    `trained` are those of the padded bytes whose gradients are summed.
    """

    unpadded: int
    padded: int
    trained: int


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
    unpadded = padded = trained = 0
    for each in parameters:
        first = each.shape[0] if each.ndim else 1
        filled = math.ceil(first / count) * count * each.numel() // max(first, 1)
        unpadded += each.numel()
        padded += filled
        trained += filled if each.requires_grad else 0
    return Unit(unpadded * bytes_each, padded * bytes_each, trained * bytes_each)


def sharded_traffic(
    blocks: list[Unit], rest: Unit, count: int, micro_batches: int = 1
) -> TrafficReport:
    """FSDP2: each micro-batch gathers the blocks forward and again backward, the rest once.

    Gradients are summed in each micro-batch too: Lightning leaves out none of these sums for a
    sharded model.
    """
    of_blocks = sum(block.padded for block in blocks)
    gathered = micro_batches * (rest.padded + 2 * of_blocks)
    scattered = micro_batches * (rest.trained + sum(block.trained for block in blocks))
    return TrafficReport(0, gathered, scattered, (gathered + scattered) * (count - 1) // count)


def replicated_traffic(gradients: int, count: int) -> TrafficReport:
    """DistributedDataParallel: all gradients once a step, after the last micro-batch."""
    return TrafficReport(gradients, 0, 0, 2 * gradients * (count - 1) // count)
