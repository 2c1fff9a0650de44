"""What a training is asked for and is too short to reach, each with the numbers and what to change.

Nothing here is wrong by itself, and a training of few batches, to try something, has most of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vit.build import build_slot
from vit.check.case import Case
from vit.check.selection import validations
from vit.optim.schedules import Schedule
from vit.runs.check_report import TrainingReport

OF_THE_START = 0.1  # share of an average from which its first weights are worth a word


def check_reach(case: Case) -> None:
    """Warns of a warm-up, an average, a patience and checkpoints that the training ends before."""
    training, config = case.training, case.config
    if training is None:
        return
    if case.usable("schedule"):
        case.warnings += _warm_up(config, training, case.allow)
    if case.usable("ema") and config.get("ema") is not None:
        case.warnings += _average(config["ema"], training.steps)
    if case.usable("checkpoint"):
        case.warnings += _checkpoints(config, training)


def _warm_up(config: Mapping[str, Any], training: TrainingReport, allow: list[str]) -> list[str]:
    schedule = build_slot("schedule", config, allow)
    if not isinstance(schedule, Schedule):  # the user's own, which may mean what it likes
        return []
    per_epoch = training.steps_per_epoch
    steps = training.steps - (config.get("extend") or 0) * per_epoch
    try:
        takes = schedule.warmup(steps, per_epoch)
    except ValueError:
        return []  # longer than the training: a fault
    if takes < steps:
        return []
    tenth = f"warmup_steps={steps // 10}"
    if not schedule.warmup_steps:
        tenth = f"warmup_epochs={steps / per_epoch / 10:.2g}"
    return [
        f"the warm-up takes {takes:,} of the {steps:,} steps of the training: the learning rate "
        f"rises to its end and never falls. schedule.{tenth} warms up over a tenth; or train for "
        "longer"
    ]


def _average(ema: Mapping[str, Any], steps: int) -> list[str]:
    every = ema.get("every_n_steps", 1)
    updates = steps // every
    if not updates:
        return [
            f"ema.every_n_steps={every}, and the training has {steps:,} steps: the average, which "
            "is what is evaluated and kept, would stay the weights of the start; wanted less, or "
            "ema=none"
        ]
    decay = ema.get("decay", 0.9998)
    left = decay**updates
    if ema.get("warmup", True) or left < OF_THE_START:
        return []
    return [
        f"ema.decay={decay} averages over about {round(1 / (1 - decay)):,} updates, and the "
        f"training has {updates:,}: {left:.0%} of what is evaluated would be the weights of the "
        "start. ema.warmup=true forgets them; or a lower decay"
    ]


def _checkpoints(config: Mapping[str, Any], training: TrainingReport) -> list[str]:
    settings, steps = config["checkpoint"], training.steps
    lines = []
    patience, looks = settings.get("patience"), validations(config, training)
    if patience is not None and looks is not None and 0 < looks <= patience:
        lines.append(
            f"checkpoint.patience={patience} waits for as many validations without a better one, "
            f"and the training has {looks}: it never stops early. Wanted less than {looks}, or null"
        )
    for key in ("every_n_steps", "keep_every_n_steps"):
        every = settings.get(key)
        if every is not None and every > steps:
            lines.append(
                f"checkpoint.{key}={every}, and the training has {steps:,} steps: it writes "
                f"nothing more. Wanted {steps} at most, or null"
            )
    every, epochs = settings.get("keep_every_n_epochs"), steps // training.steps_per_epoch
    if every is not None and every > epochs:
        lines.append(
            f"checkpoint.keep_every_n_epochs={every}, and the training has {epochs} whole epochs: "
            "it keeps nothing more. Wanted less, or null"
        )
    return lines
