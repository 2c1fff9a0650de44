"""How long a training will take about, from a few steps of its model on made-up images."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

from vit.build import build_slot
from vit.facts import facts_told
from vit.tasks.assembly import assemble_model, task_spec

MOST_GFLOPS = 6.0  # of one probed step; images beyond that are counted, not run
STEPS = 3
FORWARD_SHARE = 1 / 3  # of a training step's work


def seconds_of_trainings(planned: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[float]:
    """Seconds of each (config, report of the check), alone on this machine.

    Reading and augmenting the data is not counted. Trials of one shape are probed once.
    """
    known: dict[str, float] = {}
    told = []
    for config, report in planned:
        shape = repr([config[key] for key in ("backbone", "head", "optim", "threads")])
        shape += repr(facts_told(report))
        shape += repr(task_spec(config, config["allow_targets"]).model_settings())
        shape += repr([config["trainer"].get("precision"), report["micro_batch_size"]])
        if shape not in known:
            known[shape] = seconds_of_a_batch(config, report)
        told.append(known[shape] * batches(config, report))
    return told


def batches(config: dict[str, Any], report: dict[str, Any]) -> float:
    """Micro-batches of the whole training, its validations counted by their work."""
    each = report["micro_batch_size"] * report["processes"]
    accumulated = report["batch_size"] / each
    epochs = report["steps"] / report["steps_per_epoch"]
    validation = epochs * report["data"].get("val", {}).get("images", 0) / each
    return report["steps"] * accumulated + FORWARD_SHARE * validation


def seconds_of_a_batch(
    config: dict[str, Any], report: dict[str, Any], run: int | None = None
) -> float:
    """One micro-batch forward, backward, and the optimizer's step.

    `run` images are tried at once; None: as many as the CPU does soon, counted up to the batch.
    """
    torch.set_num_threads(config["threads"])
    cpu = config["trainer"].get("accelerator") == "cpu" or not torch.cuda.is_available()
    device = torch.device("cpu" if cpu else "cuda")
    size = report["micro_batch_size"]
    heavy = 3 * report["gflops_per_image"] * size
    if run is None:
        run = size if not cpu else max(1, min(size, int(size * MOST_GFLOPS / max(heavy, 1e-9))))
    allow = config["allow_targets"]
    model = assemble_model(config, facts_told(report), allow).to(device).train()
    optimizer = build_slot("optim", config, allow).build(model)
    half = "bf16" in str(config["trainer"].get("precision"))
    with device:
        inputs = facts_told(report).example(run)
    spec = task_spec(config, allow)
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            output = model(*inputs)
        spec.ask(spec.dummy_loss, output).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return median(seconds[1:]) * size / run
