"""A training step among processes that are not there: torch's fake process group.

It takes part in collectives that move nothing, so one process sees what it would send to 1,023
others. Private to torch (2.14, 2026-11); only tests and the table of experiments/0006 use it.
"""

import contextlib
import time
from collections import Counter

import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from vit.losses.classification import cross_entropy

# Which of the arguments of a collective is the whole: of all ranks together.
WHOLE = {"c10d::_allgather_base_": 0, "c10d::_reduce_scatter_base_": 1, "c10d::allreduce_": 0}


class Collectives(TorchDispatchMode):
    """Bytes that took part in each kind of collective."""

    def __init__(self):
        super().__init__()
        self.bytes = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation._schema.name
        if name in WHOLE:
            whole = args[WHOLE[name]]
            tensors = whole if isinstance(whole, list | tuple) else [whole]
            self.bytes[name.split("::")[1]] += sum(tensor.nbytes for tensor in tensors)
        return operation(*args, **(kwargs or {}))


@contextlib.contextmanager
def ranks(count):
    """This process as the first of `count`."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=count)
    try:
        yield init_device_mesh("cpu", (count,))
    finally:
        dist.destroy_process_group()


def step(model, image_size, count, *, batch=2, micro_batches=1, memory=False):
    """Collectives of a step of FSDP2, seconds that it took, and its peak bytes if asked for.

    `model` lies on the meta device; nothing of it, nor of what is gathered, is held.
    """
    from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker

    began = time.perf_counter()
    counted = Collectives()
    with ranks(count) as mesh, FakeTensorMode(allow_non_fake_inputs=True):
        model = model.to_empty(device="cpu").train()
        for block in model.shards():
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        tracker = FSDPMemTracker(model) if memory else None
        if tracker is not None:
            tracker.track_inputs(())
        with counted, tracker or contextlib.nullcontext():
            for _ in range(micro_batches):
                images = torch.rand(batch, 3, *image_size)
                targets = torch.zeros(batch, dtype=torch.long)
                cross_entropy(model(images).float(), targets).mean().backward()
        peak = None
        if tracker is not None:
            peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    return counted.bytes, time.perf_counter() - began, peak


def replicated_step(model, image_size, count):
    """Collectives of a step of DistributedDataParallel, on tensors that are there."""
    sums = []

    def told(state, bucket):
        sums.append(bucket.buffer().nbytes)
        future = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    with ranks(count):
        parallel = nn.parallel.DistributedDataParallel(model)
        parallel.register_comm_hook(None, told)
        images = torch.rand(2, 3, *image_size)
        cross_entropy(parallel(images), torch.zeros(2, dtype=torch.long)).mean().backward()
    return sum(sums)
