"""Everything that can be known before training: faults first, then what the run will be.

Models are built on the meta device and run there once, so a ViT-H is checked as fast as a toy.
Returns plain values only: the door that shows them needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from warnings import filterwarnings

import torch
from torch import nn

from vit.build import build
from vit.callbacks.checkpoint import checkpoint_callbacks, policy_of
from vit.callbacks.retention import number_kept
from vit.check.communication import communication, is_sharded, warn_of_padding
from vit.check.determinism import determinism
from vit.check.machine import lacking_for, require_room, warn_of_memory
from vit.check.memory import memory_or_none
from vit.check.parts import cost_of, data_of, fitting, model_of, told_of, trying
from vit.check.schema import OPTIONAL_PARTS, schema_faults
from vit.data.samples import SampleData
from vit.faults import Fault, Refused, did_you_mean
from vit.optim.groups import param_groups, table
from vit.optim.schedules import Constant
from vit.tasks.assembly import (
    accumulation,
    assemble_task,
    processes,
    task_class,
    total_steps,
)

SCHEDULE_POINTS = 40
# Stand-ins for what is broken, so that the rest can be checked in the same go.
SOUND = {
    "seed": 0,
    "compile": False,
    "optim": {"_target_": "vit.optim.optimizer.Optim"},
    "schedule": {"_target_": "vit.optim.schedules.Constant"},
}


def preflight_all(
    configs: list[dict[str, Any]], folder: str, full: bool = False
) -> list[dict[str, Any]]:
    """The report of each config; what several have in common is looked at once."""
    shared = Shared()
    return [preflight(config, folder, full, shared) for config in configs]


class Shared:
    """What was found of one part of a config, for the next config with the same part."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def find(self, parts: Any, look: Callable[[], Any]) -> Any:
        key = json.dumps(parts, sort_keys=True, default=str)
        if key not in self._found:
            self._found[key] = look()
        return self._found[key]


def preflight(
    config: dict[str, Any],
    run_dir: str | None = None,
    full: bool = False,
    shared: Shared | None = None,
) -> dict[str, Any]:
    """`{"faults": [...], "warnings": [...], …}`; without faults also what the run will be.

    `full` reads every image instead of a sample. `run_dir` asks as well whether there is room.
    """
    shared = shared or Shared()
    faults = schema_faults(config)
    broken = {fault.where.split(".")[0] for fault in faults}
    allow = config.get("allow_targets") or []
    for key in ("optim", "schedule"):
        if key not in broken and trying(key, faults, partial(build, config[key], allow)) is None:
            broken.add(key)
    for key in OPTIONAL_PARTS:
        if config.get(key) is not None and key not in broken:
            trying(key, faults, partial(build, config[key], allow))
    if "checkpoint" not in broken:
        chosen = partial(checkpoint_callbacks, Path(), **policy_of(config["checkpoint"]))
        trying("checkpoint", faults, chosen)
        if config["checkpoint"].get("sharded") and not is_sharded(config):
            message = "is for weights in shards, trainer=fsdp; otherwise take false"
            faults.append(Fault("checkpoint.sharded", message))
    if isinstance(config.get("threads"), int) and config["threads"] < 1:
        faults.append(Fault("threads", f"is {config['threads']}; wanted at least 1"))
    config = {**config, **{key: SOUND[key] for key in broken & SOUND.keys()}}
    warnings: list[str] = []
    told: dict[str, Any] = {}
    data = None
    if not broken & {"data", "allow_targets"}:
        data, found = shared.find(["data", config["data"]], lambda: data_of(config, allow, full))
        faults += found
    # Loaders of unsound data fail with the same words again.
    unsound = data is not None and bool(found)
    model = kind = None
    with suppress(TypeError, KeyError, ValueError):  # told by the schema
        kind = task_class(config, allow).__name__
    fits = False
    if data is not None and kind is not None:
        fits = trying("task", faults, partial(fitting, config, data, allow)) is not None
    if data is not None and fits and not broken & {"backbone", "head"}:
        parts = ["model", config["data"], config["backbone"], config["head"], kind]
        model, found, odd = shared.find(parts, lambda: model_of(config, data, allow))
        faults += found
        warnings += odd
    lacking: list[Fault] = []
    if "trainer" not in broken:
        lacking = lacking_for(config["trainer"])
        warnings += [str(fault) for fault in lacking]
    if data is not None and "trainer" not in broken:
        _world(config, data, faults, warnings, told, unsound)
    if data is not None and fits and "task" not in broken:
        any_model = model or nn.Identity()
        with torch.device("meta"):
            task = trying("task", faults, lambda: assemble_task(config, any_model, data, allow))
        if task is not None:
            told["monitors"] = list(task.monitors())
            if task.counted:
                told["counted"] = dict(task.counted)
        if task is not None and "checkpoint" not in broken:
            _monitor(config, task.monitors(), faults)
    if "steps" in told:
        _recipe(config, model, told, faults, warnings)
        if "checkpoint" not in broken:
            epochs = told["steps"] // told["steps_per_epoch"]
            told["checkpoints"] = number_kept(config["checkpoint"], told["steps"], epochs)
    if data is not None and model is not None:
        told.update(shared.find(["cost", *parts[1:]], lambda: cost_of(model, data)))
        if not faults and "micro_batch_size" in told:
            optim = {**config["optim"], "lr": 0, "weight_decay": 0}
            step = [optim, config["ema"], config["trainer"].get("precision"), told["processes"]]
            alike = ["memory", *parts[1:], *step, told["micro_batch_size"]]
            told["memory"] = shared.find(alike, lambda: memory_or_none(config, told))
        if told.get("processes", 1) > 1:
            told["communication"] = communication(config, model, told["processes"])
            warn_of_padding(told["communication"], warnings)
    if not faults and config["trainer"].get("deterministic") and "gflops_per_image" in told:
        exact = ["deterministic", *parts[1:], config["trainer"]]
        told["deterministic"], fault = shared.find(exact, lambda: determinism(config, told))
        faults += [fault] if fault else []
    if data is not None:
        if not faults:
            told["data"] = shared.find(["told", config["data"]], lambda: told_of(data))
        if "val" not in data.lengths:
            faults.append(Fault("data.val_fraction", "there is no val split to select by"))
        if "test" not in data.lengths:
            warnings.append("the data has no test split: nothing will be tested after training")
    if told.get("memory") and torch.cuda.is_available():
        warn_of_memory(config["trainer"], told["memory"]["total"], warnings)
    if run_dir is not None and model is not None:
        require_room(Path(run_dir), model, told.get("checkpoints", 2), faults)
    told["gpus"] = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "faults": [vars(fault) for fault in faults],
        "lacking": [vars(fault) for fault in lacking],
        "warnings": warnings,
        **(told if not faults else {}),
    }


def preflight_or_refuse(
    config: dict[str, Any], run_dir: str, full: bool = False, here: bool = True
) -> dict[str, Any]:
    """The report, or Refused with every fault; what this machine lacks is one if it is to train."""
    report = preflight(config, run_dir, full)
    faults = [*report["faults"], *(report["lacking"] if here else [])]
    if faults:
        raise Refused([Fault(**fault) for fault in faults])
    return report


def _world(
    config: Mapping[str, Any],
    data: SampleData,
    faults: list[Fault],
    warnings: list[str],
    told: dict[str, Any],
    unsound: bool,
) -> None:
    of_loaders = [] if unsound else faults
    world = processes(config)
    accumulate = accumulation(config)
    # Of torch, on the cores of this machine, which may not be the one to train.
    filterwarnings("ignore", ".*worker processes in total.*")
    loader = trying(
        "data.batch_size",
        of_loaders,
        lambda: data.loader("train", rank=0, world_size=world, accumulate=accumulate),
    )
    for split in data.lengths:
        if split != "train":
            look = partial(data.loader, split, rank=0, world_size=world, accumulate=accumulate)
            trying("trainer.devices", of_loaders, look)
    if loader is None:
        return
    batches = len(loader)
    steps, per_epoch = total_steps(config, batches)
    if steps < 1:
        faults.append(
            Fault(
                "trainer.max_epochs",
                f"is {config['trainer'].get('max_epochs')} and max_steps "
                f"{config['trainer'].get('max_steps', -1)}: nothing would be trained, or without "
                "end; wanted 1 or more of either",
            )
        )
        return
    for key in ("limit_val_batches", "limit_test_batches"):
        if config["trainer"].get(key, 1.0) not in (1.0, None):
            warnings.append(
                f"trainer.{key}: evaluation sees the first images only, which may be of few "
                "classes; its numbers then tell that it runs, and no more"
            )
    told.update(
        processes=world,
        batch_size=data.batch_size,
        micro_batch_size=data.batch_size // (world * accumulate),
        batches_per_epoch=batches,
        steps_per_epoch=per_epoch,
        steps=steps,
    )


def _recipe(
    config: Mapping[str, Any],
    model: Any,
    told: dict[str, Any],
    faults: list[Fault],
    warnings: list[str],
) -> None:
    """The learning rate over the training, and per depth where layers differ."""
    steps, per_epoch = told["steps"], told["steps_per_epoch"]
    allow = config.get("allow_targets") or []
    optim, schedule = build(config["optim"], allow), build(config["schedule"], allow)
    if config["ema"] is not None and optim.schedule_free:
        faults.append(
            Fault("ema", f"optim.name={optim.name} averages the weights itself; take ema=none")
        )
    if config["ema"] is not None and is_sharded(dict(config)):
        message = "an average of weights that lie in shards is not kept yet; take ema=none"
        faults.append(Fault("ema", message))
    if optim.schedule_free and not isinstance(schedule, Constant):
        warnings.append(f"optim.name={optim.name} wants no decay of the rate: schedule=constant")
    points = [round(at * (steps - 1) / (SCHEDULE_POINTS - 1)) for at in range(SCHEDULE_POINTS)]
    scales = trying(
        "schedule", faults, lambda: [schedule.scale(at, steps, per_epoch) for at in points]
    )
    if scales is None:
        return
    told["schedule"] = {"lr": optim.lr, "lr_of_points": [optim.lr * scale for scale in scales]}
    if model is not None and optim.layer_decay != 1.0:
        scales = (optim.layer_decay, optim.head_lr_scale)
        told["groups"] = table(param_groups(model, optim.lr, optim.weight_decay, *scales))


def _headline(known: tuple[str, ...]) -> str:
    """What a task is usually judged by: the first thing it measures besides its loss."""
    found = next((name for name in known if not name.endswith("/loss")), None)
    return f" Take checkpoint.monitor={found}." if found else ""


def _monitor(config: Mapping[str, Any], known: tuple[str, ...], faults: list[Fault]) -> None:
    monitor = config["checkpoint"].get("monitor")
    if monitor not in known:
        faults.append(
            Fault(
                "checkpoint.monitor",
                f"{monitor!r} is never logged; validation logs {', '.join(known)}."
                f"{did_you_mean(str(monitor), known, 0.8) or _headline(known)}",
            )
        )
