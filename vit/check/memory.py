"""What one process of a training will hold at its peak, without holding it.

The model's step runs on fake tensors (shapes and devices, no storage) while PyTorch's tracker
counts what would be allocated and freed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from vit.build import build
from vit.losses.classification import cross_entropy
from vit.models.classifier import Classifier
from vit.structures import Facts
from vit.tasks.assembly import assemble_model

SMALL = 4  # largest size of an axis of the stand-ins whose optimizer state is looked at


def training_memory(config: dict[str, Any], report: dict[str, Any]) -> dict[str, int]:
    """Bytes a process: `parameters`, `gradients`, `optimizer`, `average`, `communication`,
    `activations` (what is left of the peak: what backward needs, and what works on it), `total`.

    Float32 weights under autocast count as Lightning keeps them. Not counted: the data loader,
    the libraries themselves and what an allocator wastes.
    """
    with torch.device("meta"):
        model = assemble_model(config, facts_of(report), config["allow_targets"]).train()
    parameters = sum(p.nbytes for p in model.parameters())
    peak = peak_of_a_step(model, config, report)
    gradients = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    largest = largest_part(model)
    state = optimizer_state(model, config)  # puts stand-ins in the place of the weights
    average = parameters if config["ema"] else 0
    activations = max(peak - parameters - gradients, 0)
    # DistributedDataParallel's buckets hold the gradients once more.
    communication = gradients if report["processes"] > 1 else 0
    if is_sharded(config):
        # Beside its shard a process holds a block's whole weights and gradients, and the next's.
        communication = min(4 * largest, parameters + gradients)
        count = report["processes"]
        parameters, gradients, state = parameters // count, gradients // count, state // count
    told = {
        "parameters": parameters,
        "gradients": gradients,
        "optimizer": state,
        "average": average,
        "communication": communication,
        "activations": activations,
    }
    return {**told, "total": sum(told.values())}


def is_sharded(config: dict[str, Any]) -> bool:
    """Whether the trainer's strategy gives each process a part of the weights."""
    strategy = config["trainer"].get("strategy")
    target = strategy.get("_target_", "") if isinstance(strategy, dict) else ""
    return target.endswith(".ModelParallelStrategy")


def largest_part(model: Classifier) -> int:
    """Bytes of the weights that are gathered at once: a block, or all that is in none."""
    blocks = [sum(p.nbytes for p in block.parameters()) for block in model.shards()]
    rest = sum(p.nbytes for p in model.parameters()) - sum(blocks)
    return max([rest, *blocks])


def peak_of_a_step(model: nn.Module, config: dict[str, Any], report: dict[str, Any]) -> int:
    """Bytes of weights, gradients and everything between them at the worst moment of a step."""
    # Private modules of torch 2.14 (2026-11), with no public way to either. Should they move, the
    # check does without this figure.
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = model.to_empty(device="cpu")
        tracker = MemTracker()
        tracker.track_external(fake)
        with tracker:
            step(fake, config, report)
        snapshot = tracker.get_tracker_snapshot("peak")
    return max(told["Total"] for told in snapshot.values())


def step(model: nn.Module, config: dict[str, Any], report: dict[str, Any]) -> None:
    """Forward, loss and backward of a process's batch, in the precision of the run."""
    height, width = report["image_size"]
    size, precision = report["micro_batch_size"], str(config["trainer"].get("precision"))
    half = {"bf16": torch.bfloat16, "16": torch.float16}.get(precision.split("-")[0])
    images = torch.rand(size, report["channels"], height, width)
    targets = torch.zeros(size, dtype=torch.long)
    with torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
        logits = model(images)
    cross_entropy(logits.float(), targets).mean().backward()


def optimizer_state(model: nn.Module, config: dict[str, Any]) -> int:
    """Bytes that the optimizer keeps, from one step on stand-ins with a few numbers each."""
    whole = {name: p.numel() * p.element_size() for name, p in model.named_parameters()}
    for module in list(model.modules()):
        for name, p in list(module.named_parameters(recurse=False)):
            shape = [min(axis, SMALL) for axis in p.shape]
            small = nn.Parameter(torch.ones(shape), requires_grad=p.requires_grad)
            setattr(module, name, small)
    optimizer = build(config["optim"], config["allow_targets"]).build(model)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    total = 0.0
    for name, p in model.named_parameters():
        kept = [value for value in optimizer.state.get(p, {}).values() if isinstance(value, Tensor)]
        bytes_kept = sum(value.nbytes for value in kept if value.numel() > 1)
        total += whole[name] * bytes_kept / p.nbytes
    return int(total)


def facts_of(report: dict[str, Any]) -> Facts:
    """Facts that a model can be built from, without its data."""
    height, width = report["image_size"]
    classes, channels = report["num_classes"], report["channels"]
    names = tuple(map(str, range(classes)))
    return Facts(classes, names, (height, width), channels, (0.5,) * channels, (0.5,) * channels)


def memory_or_none(config: dict[str, Any], report: dict[str, Any]) -> dict[str, int] | None:
    """A model of the user's own may ask for values, which fake tensors do not have."""
    with suppress(ImportError, RuntimeError, NotImplementedError, TypeError, AttributeError):
        return training_memory(config, report)
    return None
