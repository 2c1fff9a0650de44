"""From a frozen config to its data, its model and its task: the one place where they meet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn

from vit.build import build_slot, factory_for
from vit.data.samples import SampleData
from vit.facts import AnyFacts
from vit.models.contract import complete
from vit.slots import SLOTS
from vit.tasks.task import Task


def assemble_data(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> SampleData:
    """The data set; reads nothing yet."""
    return build_slot("data", config, allow_targets, seed=config["seed"])


def assemble_model(
    config: Mapping[str, Any], facts: AnyFacts, allow_targets: Iterable[str] = ()
) -> Any:
    """Backbone and head, fitted to what the data set says of itself."""
    given = facts.for_backbone()
    backbone = complete(build_slot("backbone", config, allow_targets, **given), given)
    head = partial(build_slot, "head", config, allow_targets)
    return task_class(config, allow_targets).model_of(backbone, head, facts)


def task_class(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> type[Task]:
    """What is to be trained for, before it is built. Raises TargetError where it is no task."""
    found: Any = factory_for(config["task"], allow_targets, SLOTS["task"], "task")
    return found


def assemble_task(
    config: Mapping[str, Any],
    model: nn.Module,
    data: SampleData,
    allow_targets: Iterable[str] = (),
) -> Task:
    """The model with its loss, optimizer, schedule and metrics."""
    return build_slot(
        "task",
        config,
        allow_targets,
        model=model,
        facts=data.facts,
        optim=build_slot("optim", config, allow_targets),
        schedule=build_slot("schedule", config, allow_targets),
        seed=config["seed"],
        compile=config["compile"],
        **task_class(config, allow_targets).given_by(data),
    )


def processes(config: Mapping[str, Any]) -> int:
    """How many processes a run is promised, over all its machines."""
    trainer = config["trainer"]
    return int(trainer.get("devices", 1)) * int(trainer.get("num_nodes", 1))


def accumulation(config: Mapping[str, Any]) -> int:
    return int(config["trainer"].get("accumulate_grad_batches", 1))


def micro_batches(config: Mapping[str, Any], batches: int) -> int:
    """Of one epoch's `batches`, how many the trainer's limits leave."""
    trainer = config["trainer"]
    limit = trainer.get("limit_train_batches", 1.0)
    if limit is not None:
        batches = min(limit, batches) if isinstance(limit, int) else int(batches * limit)
    if trainer.get("overfit_batches"):
        part = trainer["overfit_batches"]
        batches = min(part, batches) if isinstance(part, int) else int(batches * part)
    if trainer.get("fast_dev_run"):
        batches = int(trainer["fast_dev_run"])
    return batches


def total_steps(config: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Optimizer steps of the whole training, and of one epoch, for `batches` micro-batches."""
    trainer = config["trainer"]
    per_epoch = max(math.ceil(micro_batches(config, batches) / accumulation(config)), 1)
    epochs, most = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    steps = per_epoch * epochs if epochs not in (None, -1) else most
    return (min(steps, most) if most not in (None, -1) else steps), per_epoch
