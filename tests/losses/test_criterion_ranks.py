"""The criterion in two processes, one of which has nothing to find."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from query_scenes import criterion_of, made_up
from torch import multiprocessing as processes

from vit.structures import Detections, Objects, Stage

SHARES = {0: (0, 0), 1: (3, 2)}


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    layer = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        layer.module.weight.copy_(torch.eye(4))
    result = step(layer, SHARES[rank], rank)
    if rank == 1:  # alone, as in an evaluation whose other process has no batch left
        with torch.no_grad():
            detections, objects = made_up("ia_bce", SHARES[1], masks=False, seed=1)
            result["alone"] = criterion_of("ia_bce")(detections, objects)["loss_box"]
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def step(layer, counts, seed):
    detections, objects = made_up("ia_bce", counts, masks=False, seed=seed)
    stages = [Stage(layer(s.logits), s.boxes_cxcywh) for s in detections.stages]
    found = criterion_of("ia_bce")(Detections(stages), objects)
    found["loss"].backward()
    gradient = next(layer.parameters()).grad
    return {"gradient": gradient, "loss_box": found["loss_box"].detach()}


@pytest.mark.slow
def test_two_processes_one_without_objects_train_as_one_with_both_batches(tmp_path):
    processes.spawn(one_rank, args=(str(tmp_path),), nprocs=2)
    empty, full = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert empty["loss_box"] == 0
    # each process divides by the mean of 0 and 5
    torch.testing.assert_close(full["loss_box"], full["alone"] * 2)
    assert torch.equal(empty["gradient"], full["gradient"])
    parts = [made_up("ia_bce", SHARES[rank], masks=False, seed=rank) for rank in range(2)]
    layer = torch.nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4))
    stages = [
        Stage(layer(torch.cat([a.logits, b.logits])), torch.cat([a.boxes_cxcywh, b.boxes_cxcywh]))
        for a, b in zip(parts[0][0].stages, parts[1][0].stages, strict=True)
    ]
    objects = Objects(parts[1][1].labels, parts[1][1].boxes_cxcywh, SHARES[0] + SHARES[1])
    criterion_of("ia_bce")(Detections(stages), objects)["loss"].backward()
    torch.testing.assert_close(full["gradient"], layer.weight.grad, rtol=1e-5, atol=1e-6)
