"""Everything that can be known before training: faults first, then what the run will be.

Models are built on the meta device and run there once, so a ViT-H is checked as fast as a toy.
Returns plain values only: the command that shows them needs no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from warnings import filterwarnings

import torch
from torch import nn

from vit.build import build_slot
from vit.callbacks.checkpoints.policy import checkpoint_callbacks, policy_of
from vit.callbacks.checkpoints.retention import number_kept
from vit.check.batch_statistics import batch_statistics
from vit.check.changed import changes_of
from vit.check.communication import communication, warn_of_padding
from vit.check.determinism import determinism
from vit.check.machine import lacking_for, require_room, warn_of_memory
from vit.check.memory import memory_or_none
from vit.check.parts import (
    cost_of,
    data_of,
    fitting,
    in_own_code,
    model_of,
    optimizer_faults,
    own_code,
    recipe_fault,
    told_of,
    trying,
)
from vit.check.selection import (
    NOT_SELECTED,
    directions,
    monitor_faults,
    signed,
    validation_faults,
)
from vit.check.trainer import trainer_faults
from vit.data.core.samples import SampleData
from vit.faults import Fault, Refused
from vit.frozen import accumulation, is_sharded, micro_batches, processes, total_steps
from vit.number_bounds import idle_faults
from vit.optim.groups import param_groups, table
from vit.optim.schedules import Constant
from vit.runs.directory import RunFolder
from vit.runs.online import why_not_online
from vit.runs.tracking import Wandb
from vit.schema import OPTIONAL_PARTS, schema_faults
from vit.tasks.assembly import assemble_task, task_spec

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
    faults += idle_faults(config)
    broken = {fault.where.split(".")[0] for fault in faults}
    allow = config.get("allow_targets") or []
    for key in ("optim", "schedule"):
        make = partial(build_slot, key, config, allow)
        if key not in broken and trying_own(key, faults, allow, make) is None:
            broken.add(key)
    for key in OPTIONAL_PARTS:
        if config.get(key) is not None and key not in broken:
            trying(key, faults, partial(build_slot, key, config, allow))
    if "checkpoint" not in broken:
        chosen = partial(checkpoint_callbacks, Path(), **policy_of(config["checkpoint"]))
        trying("checkpoint", faults, chosen)
        if config["checkpoint"].get("sharded") and not is_sharded(config):
            message = "is for weights in shards, trainer=fsdp; otherwise take false"
            faults.append(Fault("checkpoint.sharded", message))
    if "tracking" not in broken:
        tracking = trying("tracking", faults, partial(build_slot, "tracking", config, allow))
        if isinstance(tracking, Wandb) and tracking.mode == "online":
            faults += shared.find(["online"], online_faults)
    if "trainer" not in broken:
        found = shared.find(["trainer", config["trainer"]], lambda: trainer_faults(config, allow))
        faults += found
        broken |= {"trainer"} if found else set()
    config = {**config, **{key: SOUND[key] for key in broken & SOUND.keys()}}
    warnings: list[str] = []
    told: dict[str, Any] = {}
    data = None
    if not broken & {"data", "allow_targets"}:
        data, found = shared.find(["data", config["data"]], lambda: data_of(config, allow, full))
        faults += found
    # Loaders of unsound data fail with the same words again.
    unsound = data is not None and bool(found)
    model: Any = None
    spec: Any = None
    if "task" not in broken:
        spec = trying("task", faults, partial(task_spec, config, allow))
    fits = False
    if data is not None and spec is not None:
        fits = trying("task", faults, partial(fitting, config, data, allow)) is not None
    if data is not None and fits and not broken & {"backbone", "head"}:
        target, settings = config["task"]["_target_"], spec.model_settings()
        parts = ["model", config["data"], config["backbone"], config["head"], target, settings]
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
            names = spec.ask(spec.metric_names, any_model, data)
            known = tuple(f"val/{name}" for name in names)
            told["monitors"], told["better"] = list(known), directions(spec, known)
            told["signed"] = signed(spec, known)
            if task.counted:
                told["counted"] = dict(task.counted)
            if "checkpoint" not in broken:
                faults += monitor_faults(config["checkpoint"], spec, known)
    if "steps" in told:
        _recipe(config, model, told, faults, warnings)
        if "checkpoint" not in broken:
            epochs = told["steps"] // told["steps_per_epoch"]
            told["checkpoints"] = number_kept(config["checkpoint"], told["steps"], epochs)
    if data is not None and model is not None:
        cost, found = shared.find(["cost", *parts[1:]], lambda: cost_or_faults(model, data, allow))
        faults += found
        told.update(cost)
        if "micro_batch_size" in told:
            sizes = told["micro_batch_size"], told["processes"]
            found, odd = batch_statistics(config, model, data, *sizes)
            faults += found
            warnings += odd
        if "optim" not in broken and not own_code(config["optim"], allow):
            made = ["optimizer", *parts[1:], config["optim"]]
            faults += shared.find(made, lambda: optimizer_faults(config, model))
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
            if run_dir is not None:
                fingerprint = told["data"]["fingerprint"]
                told["changes"] = changes_of(RunFolder(Path(run_dir)), data, fingerprint)
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


def online_faults() -> list[Fault]:
    """What would keep a run from being tracked online."""
    problem = why_not_online()
    if problem is None:
        return []
    message = f"is online, but {problem}. Or tracking.mode=offline, and vit sync RUN_DIR later"
    return [Fault("tracking.mode", message)]


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
    if micro_batches(config, batches) < 1:
        limit = config["trainer"].get("limit_train_batches")
        message = f"is {limit} of {batches} batches, which leaves none; wanted more"
        faults.append(Fault("trainer.limit_train_batches", message))
        return
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
    faults += validation_faults(config, batches, steps, warnings)
    for key in ("limit_val_batches", "limit_test_batches"):
        if config["trainer"].get(key, 1.0) == 0:
            rest = NOT_SELECTED if key == "limit_val_batches" else ""
            warnings.append(f"trainer.{key}=0: there is no {key.split('_')[1]} at all{rest}")
            continue
        share = config["trainer"].get(key)
        if share is not None and (isinstance(share, int) or share != 1.0):  # 1 is one batch
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


def cost_or_faults(
    model: Any, data: SampleData, allow: list[str]
) -> tuple[dict[str, Any], list[Fault]]:
    faults: list[Fault] = []
    return trying_own("backbone", faults, allow, lambda: cost_of(model, data)) or {}, faults


def trying_own(where: str, faults: list[Fault], allow: list[str], make: Callable[[], Any]) -> Any:
    """As `trying`; where parts are the user's own, which raise anything, any error is a fault."""
    try:
        return trying(where, faults, make)
    except Exception as error:
        if not allow:
            raise
        faults.append(Fault(where, in_own_code(error, allow)))
        return None


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
    optim = build_slot("optim", config, allow)
    schedule = build_slot("schedule", config, allow)
    if any(own_code(config[key], allow) for key in ("optim", "schedule")):
        look = partial(recipe_fault, optim, schedule, model)
        found: list[Fault] = []
        told_fault = trying_own("optim", found, allow, look)
        found += [told_fault] if told_fault else []
        faults += found
        if found:
            return
    # An optimizer of the user's own need not say what only ours knows.
    averages = getattr(optim, "schedule_free", False)
    if config["ema"] is not None and averages:
        faults.append(
            Fault("ema", f"optim.name={optim.name} averages the weights itself; take ema=none")
        )
    if config["ema"] is not None and is_sharded(dict(config)):
        message = "an average of weights that lie in shards is not kept yet; take ema=none"
        faults.append(Fault("ema", message))
    if averages and not isinstance(schedule, Constant):
        warnings.append(f"optim.name={optim.name} wants no decay of the rate: schedule=constant")
    points = [round(at * (steps - 1) / (SCHEDULE_POINTS - 1)) for at in range(SCHEDULE_POINTS)]
    scales = trying_own(
        "schedule", faults, allow, lambda: [schedule.scale(at, steps, per_epoch) for at in points]
    )
    if scales is None:
        return
    if odd := [scale for scale in scales if not _is_factor(scale)]:
        message = f"{type(schedule).__name__}.scale gives {odd[0]!r}; wanted a number from 0 on"
        faults.append(Fault("schedule", message))
        return
    lr = getattr(optim, "lr", None)
    if lr is None:
        if model is None:
            return
        lr = max(group["lr"] for group in optim.build(model).param_groups)
    told["schedule"] = {"lr": lr, "lr_of_points": [lr * scale for scale in scales]}
    if model is not None and getattr(optim, "layer_decay", 1.0) != 1.0:
        scales = (optim.layer_decay, optim.head_lr_scale)
        told["groups"] = table(param_groups(model, optim.lr, optim.weight_decay, *scales))


def _is_factor(scale: object) -> bool:
    return isinstance(scale, int | float) and math.isfinite(scale) and scale >= 0
