"""Optimizer and schedule of a training: whether they fit the model, and the learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from vit.build import build_slot
from vit.callbacks.checkpoints.retention import number_kept
from vit.check.case import Case
from vit.check.trying import is_own_part, trying, trying_own
from vit.faults import Fault
from vit.frozen import is_sharded
from vit.optim.groups import param_groups, table
from vit.optim.schedules import Constant
from vit.runs.check_report import ScheduleReport, TrainingReport
from vit.runs.tensor_file import some
from vit.tasks.assembly import assemble_schedule

SCHEDULE_POINTS = 40


def check_recipe(case: Case) -> None:
    """The learning rate over the training, and per depth where layers differ; checkpoints kept."""
    training = case.training
    if training is None:
        return
    _check_rates(case, training)
    if case.usable("checkpoint"):
        epochs = training.steps // training.steps_per_epoch
        case.checkpoints = number_kept(case.config["checkpoint"], training.steps, epochs)


def _check_rates(case: Case, training: TrainingReport) -> None:
    config, model, allow = case.config, case.model, case.allow
    optim = build_slot("optim", config, allow)
    schedule = build_slot("schedule", config, allow)
    if any(is_own_part(config[key], allow) for key in ("optim", "schedule")):
        faults: list[Fault] = []
        fault = trying_own("optim", faults, allow, partial(recipe_fault, optim, schedule, model))
        faults += [fault] if fault else []
        case.faults += faults
        if faults:
            return
    # An optimizer of the user's own need not say what only ours knows.
    averages = getattr(optim, "schedule_free", False)
    if config["ema"] is not None and averages:
        message = f"optim.name={optim.name} averages the weights itself; take ema=none"
        case.faults.append(Fault("ema", message))
    if config["ema"] is not None and is_sharded(config):
        message = "an average of weights that lie in shards is not kept yet; take ema=none"
        case.faults.append(Fault("ema", message))
    if averages and not isinstance(schedule, Constant):
        message = f"optim.name={optim.name} wants no decay of the rate: schedule=constant"
        case.warnings.append(message)
    factors = _factors(case, assemble_schedule(config, allow), training)
    if factors is None:
        return
    lr = getattr(optim, "lr", None)
    if lr is None:
        if model is None:
            return
        lr = max(group["lr"] for group in optim.build(model).param_groups)
    case.schedule = ScheduleReport(lr, [lr * factor for factor in factors])
    if model is not None and getattr(optim, "layer_decay", 1.0) != 1.0:
        scales = (optim.layer_decay, optim.head_lr_scale)
        case.groups = table(param_groups(model, optim.lr, optim.weight_decay, *scales))


def _factors(case: Case, schedule: Any, training: TrainingReport) -> list[float] | None:
    """What the schedule multiplies the rate by, at points of the training; None with a fault."""
    steps, per_epoch = training.steps, training.steps_per_epoch
    points = [round(at * (steps - 1) / (SCHEDULE_POINTS - 1)) for at in range(SCHEDULE_POINTS)]
    factors = trying_own(
        "schedule",
        case.faults,
        case.allow,
        lambda: [schedule.scale(at, steps, per_epoch) for at in points],
    )
    if factors is None:
        return None
    if wrong := [factor for factor in factors if not _is_factor(factor)]:
        message = f"{type(schedule).__name__}.scale gives {wrong[0]!r}; wanted a number from 0 on"
        case.faults.append(Fault("schedule", message))
        return None
    return factors


def _is_factor(scale: object) -> bool:
    return isinstance(scale, int | float) and math.isfinite(scale) and scale >= 0


def recipe_fault(optim: Any, schedule: Any, model: Any) -> Fault | None:
    """What is wrong with an optimizer or a schedule of the user's own; None if nothing."""
    if not callable(getattr(optim, "build", None)):
        message = "has no `build(model)` that gives a torch.optim.Optimizer"
        return Fault("optim", f"{type(optim).__name__} {message}")
    if not callable(getattr(schedule, "scale", None)):
        message = "has no `scale(step, total_steps, steps_per_epoch)` that gives a factor"
        return Fault("schedule", f"{type(schedule).__name__} {message}")
    if model is None:
        return None
    optimizer = optim.build(model)
    name = f"{type(optim).__name__}.build"
    if not isinstance(optimizer, torch.optim.Optimizer):
        message = f"{name} gives a {type(optimizer).__name__}; wanted a torch.optim.Optimizer"
        return Fault("optim", message)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    wanted = {n: id(p) for n, p in model.named_parameters() if p.requires_grad}
    left = [name for name, at in wanted.items() if at not in held]
    if left:
        return Fault("optim", f"{name} leaves out {len(left)} parameters that learn: {some(left)}")
    return None


def optimizer_faults(config: Mapping[str, Any], model: Any) -> list[Fault]:
    """What the optimizer itself refuses of its settings, over the model's own parameters."""
    faults: list[Fault] = []
    optim = build_slot("optim", config, config.get("allow_targets") or [])
    trying("optim", faults, lambda: optim.build(model))
    return faults
