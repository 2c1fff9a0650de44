"""Learning rate and batch size by trying, for those who ask: they suggest, and change nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any, TypedDict

import pytorch_lightning as lightning
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from vit.build import build_slot
from vit.check.probe import seconds_of_a_batch
from vit.frozen import accumulation, processes
from vit.runs.check_report import RunReport
from vit.runs.identity import config_hash
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.log import silenced
from vit.tasks.trainer import launched_by

LOWEST, HIGHEST = 1e-5, 1.0
STEPS = 150
STILL = 20  # steps at the start, at rates too small to learn: they tell the noise
SMOOTHING = 0.8
HOPELESS = 4.0  # times the lowest loss: it has diverged
LARGEST_BATCH = 4096
WORTH = 1.05  # a batch twice as large should be that much faster, or it is not worth its memory


def shapes(planned: list[dict[str, Any]]) -> list[list[int]]:
    """The places of configs that one search answers for: all but the rate and the seed agree."""
    places: dict[str, list[int]] = {}
    for at, config in enumerate(planned):
        optim = {**config["optim"], "lr": None}
        parts = {key: config[key] for key in ("backbone", "head", "data", "task", "trainer")}
        places.setdefault(config_hash({**parts, "optim": optim}), []).append(at)
    return list(places.values())


class LearningRate(TypedDict):
    """`lr` is where the loss falls fastest, None where it never falls; `lr_range` that stretch."""

    lr: float | None
    lr_range: list[float] | None


class BatchSize(TypedDict):
    """`throughput` has (size, samples a second) of each size that was tried.

    `batch_size` is the smallest that is nearly as fast as any, `largest` the largest that fits the
    GPU's memory, None where nothing ran out of it.
    """

    batch_size: int | None
    largest: int | None
    throughput: list[tuple[int, float]]


def find(
    planned: list[tuple[dict[str, Any], dict[str, Any]]], lr: bool, batch_size: bool
) -> list[dict[str, Any]]:
    """For each shape of (config, plain report of the check): `places`, `unit`, suggestions."""
    rows = []
    for places in shapes([config for config, _ in planned]):
        config, plain = planned[places[0]]
        run = RunReport.from_plain(plain)
        row: dict[str, Any] = {"places": places, "unit": run.cost.unit}
        if lr:
            row.update(find_lr(config))
        if batch_size:
            row.update(find_batch_size(config, run))
        rows.append(row)
    return rows


class Ramp:
    """A schedule that multiplies the learning rate by the same factor at each step."""

    def __init__(self, lr: float):
        self._lr = lr

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        part = step / max(total_steps - 1, 1)
        return LOWEST * (HIGHEST / LOWEST) ** part / self._lr


class RangeTest(Callback):
    """Notes the loss at each learning rate, and ends what has diverged."""

    def __init__(self) -> None:
        self.losses: list[float] = []  # one for each optimizer step
        self._micro: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        # With accumulation Lightning hands out the share of the step's loss, not the loss.
        self._micro.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if trainer.global_step > len(self.losses):
            self.losses.append(fmean(self._micro))
            self._micro.clear()
            trainer.should_stop = diverged(self.losses)


def diverged(losses: list[float]) -> bool:
    return not math.isfinite(losses[-1]) or losses[-1] > HOPELESS * min(losses)


def find_lr(config: dict[str, Any]) -> LearningRate:
    """The rate where the loss falls fastest as the rate grows.

    One training of at most 150 steps with the config's own data, model, task and batch, on one
    device. Layers keep their ratios.

    Source: Smith 2017, arXiv:1506.01186, section 3.3 (the range test).
    """
    torch.set_num_threads(config["threads"])
    lightning.seed_everything(config["seed"], verbose=False)
    allow = config["allow_targets"]
    data = assemble_data(config, allow)
    model = assemble_model(config, data.facts, allow)
    task = assemble_task(config, model, data, allow)
    ramp, test = Ramp(config["optim"]["lr"]), RangeTest()
    task.schedule = ramp
    # One device stands for all: the rate belongs to the whole batch, whoever computes it.
    accumulate = accumulation(config) * processes(config)
    loader = data.loader("train", accumulate=accumulate)
    kept = ("precision", "gradient_clip_val", "gradient_clip_algorithm", "accelerator")
    settings: dict[str, Any] = {
        **{key: value for key, value in config["trainer"].items() if key in kept},
        "logger": False,
        "limit_val_batches": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
    }
    with silenced():
        trainer = build_slot(
            "trainer",
            {"trainer": {"_target_": "pytorch_lightning.Trainer", **settings}},
            allow,
            devices=1,
            max_steps=STEPS,
            max_epochs=-1,
            accumulate_grad_batches=accumulate,
            callbacks=[test],
            plugins=[launched_by()],
        )
        trainer.fit(task, loader, data.loader("val"))  # without one Lightning warns
    rates = [ramp.scale(step, STEPS, 1) * config["optim"]["lr"] for step in range(STEPS)]
    return steepest(rates, test.losses)


def steepest(rates: list[float], losses: list[float]) -> LearningRate:
    """From the smoothed losses at growing rates."""
    smooth = smoothed([loss for loss in losses if math.isfinite(loss)])
    if not smooth:
        return {"lr": None, "lr_range": None}
    lowest = smooth.index(min(smooth))
    slopes = [after - before for before, after in pairwise(smooth[: lowest + 1])]
    still = smooth[:STILL]
    if lowest < STILL or smooth[lowest] > fmean(still) - 4 * pstdev(still):
        return {"lr": None, "lr_range": None}
    best = slopes.index(min(slopes))
    steep = [at for at, slope in enumerate(slopes) if slope <= min(slopes) / 2]
    return {"lr": rates[best], "lr_range": [rates[steep[0]], rates[steep[-1]]]}


def smoothed(losses: list[float]) -> list[float]:
    """An exponential average that starts without the pull of zero."""
    averages, mean = [], 0.0
    for step, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        averages.append(mean / (1 - SMOOTHING**step))
    return averages


def find_batch_size(config: dict[str, Any], run: RunReport) -> BatchSize:
    """The samples a second at 1, 2, 4, … at a time on one device."""
    rows: list[tuple[int, float]] = []
    size, largest = 1, None
    images = run.data.splits["train"].images
    while size <= min(LARGEST_BATCH, max(images, 1)):
        try:
            of_size = replace(run, training=replace(run.training, micro_batch_size=size))
            seconds = seconds_of_a_batch(config, of_size, size)
        except torch.cuda.OutOfMemoryError:
            largest = rows[-1][0] if rows else 0
            torch.cuda.empty_cache()
            break
        rows.append((size, size / seconds))
        if len(rows) > 2 and rows[-1][1] < WORTH * rows[-3][1]:
            break  # twice doubled for nothing
        size *= 2
    fastest = max((speed for _, speed in rows), default=0.0)
    enough = next((size for size, speed in rows if speed * WORTH >= fastest), None)
    return {"batch_size": enough, "largest": largest, "throughput": rows}
