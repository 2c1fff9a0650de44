"""What one process of a training will hold at its peak, without holding it.

The model's step runs on fake tensors (shapes and devices, no storage) while PyTorch's tracker
counts what would be allocated and freed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vit.build import build_slot
from vit.check.communication import units
from vit.facts import AnyFacts
from vit.frozen import is_sharded, weight_dtype
from vit.runs.check_report import MemoryReport
from vit.tasks.assembly import assemble_model, task_spec
from vit.tuning.freezing import keep_still

SMALL = 4  # largest size of an axis of the stand-ins whose optimizer state is looked at


def training_memory(
    config: dict[str, Any], facts: AnyFacts, micro_batch_size: int, processes: int = 1
) -> MemoryReport:
    """Of one process; `activations` are the rest of its peak: what backward needs, and works on.

    Float32 weights under autocast count as Lightning keeps them. Sharded, a process holds its part
    of weights, gradients and optimizer state, and what is gathered for the moment. Not counted:
    the data loader, the libraries themselves and what an allocator wastes.
    """
    with torch.device("meta"):
        model = keep_still(assemble_model(config, facts, config["allow_targets"]).train())
    model = model.to(weight_dtype(config))
    parameters = sum(p.nbytes for p in model.parameters())
    gradients = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    itemsize = weight_dtype(config).itemsize
    sharded = units(model, processes, itemsize) if is_sharded(config) else None
    step = a_step(model, config, facts, micro_batch_size)
    state = optimizer_state(model, config)  # puts stand-ins in the place of the weights
    if sharded is None:
        return MemoryReport(
            parameters=parameters,
            gradients=gradients,
            optimizer=state,
            average=gradients if config["ema"] else 0,
            # DistributedDataParallel's buckets hold the gradients once more.
            communication=gradients if processes > 1 else 0,
            activations=max(step.peak - parameters - gradients, 0),
        )
    blocks, rest = sharded
    # Of a block: its weights, what they are gathered in, its gradients, what these are summed in.
    largest = max((2 * (block.padded + block.trained) for block in blocks), default=0)
    communication = rest.padded + largest
    gradients //= processes
    # When most activations are held there are no gradients yet; when all of these, no activations.
    worst = max(step.saved + communication, gradients + rest.padded)
    return MemoryReport(
        parameters=(rest.padded + sum(block.padded for block in blocks)) // processes,
        gradients=gradients,
        optimizer=state // processes,
        average=0,
        communication=communication,
        activations=max(worst - communication - gradients, 0),
    )


class Step(NamedTuple):
    """Bytes: the most at any moment with weights and gradients, and what backward waits for."""

    peak: int
    saved: int


def a_step(
    model: nn.Module, config: dict[str, Any], facts: AnyFacts, micro_batch_size: int
) -> Step:
    """What a forward and a backward pass of one micro-batch hold."""
    # Private modules of torch 2.14 (2026-11), with no public way to either. Should they move, the
    # check does without this figure.
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = sum(p.nbytes for p in model.parameters())
        fake = model.to_empty(device="cpu")
        tracker = MemTracker()
        with _frozen_as_buffers(fake):
            tracker.track_external(fake)
            with tracker:
                loss = dummy_loss(fake, config, facts, micro_batch_size)
                forward = _total(tracker.get_tracker_snapshot("current"))
                loss.backward()
        peak = _total(tracker.get_tracker_snapshot("peak"))
    return Step(peak, forward - weights)


@contextmanager
def _frozen_as_buffers(model: nn.Module) -> Iterator[None]:
    """The tracker waits for a gradient of every parameter, and refuses those that have none."""
    frozen = [
        (module, name, p)
        for module in model.modules()
        for name, p in module.named_parameters(recurse=False)
        if not p.requires_grad
    ]
    for module, name, p in frozen:
        delattr(module, name)
        module.register_buffer(name, p.data)
    try:
        yield
    finally:
        for module, name, p in frozen:
            delattr(module, name)
            module.register_parameter(name, p)


def _total(snapshot: Mapping[Any, Mapping[Any, int]]) -> int:
    return max(of_device["Total"] for of_device in snapshot.values())


def dummy_loss(
    model: nn.Module, config: dict[str, Any], facts: AnyFacts, micro_batch_size: int
) -> Tensor:
    """Of a process's batch of made-up samples, in the precision of the run."""
    precision = str(config["trainer"].get("precision"))
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    inputs = facts.example(micro_batch_size, weight_dtype(config))
    with torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
        output = model(*inputs)
    spec = task_spec(config, config["allow_targets"])
    return spec.ask(spec.dummy_loss, output)


def optimizer_state(model: nn.Module, config: dict[str, Any]) -> int:
    """Bytes that the optimizer keeps, from one step on stand-ins with a few numbers each."""
    whole = {name: p.numel() * p.element_size() for name, p in model.named_parameters()}
    for module in list(model.modules()):
        for name, p in list(module.named_parameters(recurse=False)):
            shape = [min(axis, SMALL) for axis in p.shape]
            small = nn.Parameter(torch.ones(shape), requires_grad=p.requires_grad)
            setattr(module, name, small)
    optimizer = build_slot("optim", config, config["allow_targets"]).build(model)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    if callable(into_training := getattr(optimizer, "train", None)):
        into_training()  # schedule-free ones refuse to step before
    optimizer.step()
    total = 0.0
    for name, p in model.named_parameters():
        kept = [value for value in optimizer.state.get(p, {}).values() if isinstance(value, Tensor)]
        bytes_kept = sum(value.nbytes for value in kept if value.numel() > 1)
        total += whole[name] * bytes_kept / p.nbytes
    return int(total)


def memory_or_none(
    config: dict[str, Any], facts: AnyFacts, micro_batch_size: int, processes: int
) -> MemoryReport | None:
    """A model of the user's own may ask for values, which fake tensors do not have."""
    with suppress(ImportError, RuntimeError, NotImplementedError, TypeError, AttributeError):
        return training_memory(config, facts, micro_batch_size, processes)
    return None
