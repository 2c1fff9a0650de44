"""How long a training will take about, from a few steps of its model on made-up images."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import torch

from vit.build import build_slot
from vit.facts import facts_from_summary
from vit.runs.check_report import RunReport
from vit.tasks.assembly import assemble_model, task_spec
from vit.tuning.freezing import keep_still

Config = Mapping[str, Any]

MOST_GFLOPS = 6.0  # of one probed step; images beyond that are counted, not run
STEPS = 3
FORWARD_SHARE = 1 / 3  # of a training step's work


def seconds_of_trainings(planned: Iterable[tuple[Config, Mapping[str, object]]]) -> list[float]:
    """Seconds of each (config, plain report of the check), alone on this machine.

    Reading and augmenting the data is not counted. Trials of one shape are probed once.
    """
    known: dict[str, float] = {}
    seconds = []
    for config, plain in planned:
        run = RunReport.from_plain(plain)
        shape = repr([config[key] for key in ("backbone", "head", "optim", "threads")])
        shape += repr(facts_from_summary(run.cost.facts))
        shape += repr(task_spec(config, config["allow_targets"]).model_settings())
        shape += repr([config["trainer"].get("precision"), run.training.micro_batch_size])
        if shape not in known:
            known[shape] = seconds_of_a_batch(config, run)
        seconds.append(known[shape] * batches(run))
    return seconds


def batches(run: RunReport) -> float:
    """Micro-batches of the whole training, its validations counted by their work."""
    training = run.training
    each = training.micro_batch_size * training.processes
    accumulated = training.batch_size / each
    epochs = training.steps / training.steps_per_epoch
    val = run.data.splits.get("val")
    validation = epochs * (val.images if val else 0) / each
    return training.steps * accumulated + FORWARD_SHARE * validation


def seconds_of_a_batch(config: Config, run: RunReport, count: int | None = None) -> float:
    """One micro-batch forward, backward, and the optimizer's step.

    `count` samples are tried at once; None: as many as the CPU does soon, scaled to the batch.
    """
    torch.set_num_threads(config["threads"])
    cpu = config["trainer"].get("accelerator") == "cpu" or not torch.cuda.is_available()
    device = torch.device("cpu" if cpu else "cuda")
    size = run.training.micro_batch_size
    if count is None:
        heavy = 3 * run.cost.gflops_per_image * size
        soon = max(1, min(size, int(size * MOST_GFLOPS / max(heavy, 1e-9))))
        count = soon if cpu else size
    allow, facts = config["allow_targets"], facts_from_summary(run.cost.facts)
    model = keep_still(assemble_model(config, facts, allow).to(device).train())
    optimizer = build_slot("optim", config, allow).build(model)
    half = "bf16" in str(config["trainer"].get("precision"))
    with device:
        inputs = facts.example(count)
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
    return median(seconds[1:]) * size / count
