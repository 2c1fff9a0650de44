"""Everything that can be known before training: faults first, then what the run will be.

Models are built on the meta device and run there once, so a ViT-H is checked as fast as a toy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vit.callbacks.probing import probing_fault
from vit.check.batch_statistics import batch_statistics
from vit.check.case import Case, Shared
from vit.check.changed import changes_of
from vit.check.communication import traffic_of, warn_of_padding
from vit.check.determinism import determinism
from vit.check.machine import lacking_for, require_room, warn_of_memory
from vit.check.memory import memory_or_none
from vit.check.misfits import check_misfit
from vit.check.models import checked_cost, checked_data, checked_model, data_report, settled
from vit.check.never_reached import check_reach
from vit.check.recipe import check_recipe, optimizer_faults
from vit.check.selection import directions, monitor_faults, signed
from vit.check.settings import (
    check_checkpoints,
    check_schema,
    check_small_parts,
    check_tracking,
    check_trainer,
    replace_unusable,
)
from vit.check.start import check_extension, check_init
from vit.check.training_length import check_length
from vit.check.trying import is_own_part, trying
from vit.facts import facts_from_summary
from vit.faults import Fault, Refused
from vit.runs.check_report import CheckReport, MetricsReport
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_task, task_spec


def preflight(
    config: dict[str, Any],
    run_dir: str | None = None,
    full: bool = False,
    shared: Shared | None = None,
) -> CheckReport:
    """Every fault of a config; without faults also what the run will be.

    `full` reads every image instead of a sample. `run_dir` asks as well whether there is room.
    """
    folder = None if run_dir is None else Path(run_dir)
    case = Case(config, full, folder, shared or Shared())
    for check in CHECKS:
        check(case)
    return case.report()


def preflight_all(
    configs: list[dict[str, Any]], folder: str, full: bool = False
) -> list[CheckReport]:
    """The report of each config; what several have in common is looked at once."""
    shared = Shared()
    return [preflight(config, folder, full, shared) for config in configs]


# What a command asks for by name, from a process that need not import torch: plain values.


def plain_report(config: dict[str, Any], run_dir: str | None, full: bool) -> dict[str, Any]:
    return preflight(config, run_dir, full).to_plain()


def plain_reports(configs: list[dict[str, Any]], folder: str, full: bool) -> list[dict[str, Any]]:
    return [report.to_plain() for report in preflight_all(configs, folder, full)]


def plain_report_or_refuse(
    config: dict[str, Any], run_dir: str, full: bool = False, here: bool = True
) -> dict[str, Any]:
    """The report, or Refused with every fault; what this machine lacks is one if it is to train."""
    report = preflight(config, run_dir, full)
    if faults := [*report.faults, *(report.lacking if here else [])]:
        raise Refused(faults)
    return report.to_plain()


def check_data(case: Case) -> None:
    config, allow = case.config, case.allow
    if not case.usable("data", "allow_targets"):
        return
    look = partial(checked_data, config, allow, case.full)
    case.data, faults = case.shared.find(["data", config["data"]], look)
    case.data_is_sound = not faults
    case.faults += faults
    probed = case.usable("watch") and (config.get("watch") or {}).get("probe_every")
    if probed and case.data_is_sound and (fault := probing_fault(case.data)):
        case.faults.append(fault)


def check_task(case: Case) -> None:
    """Whether there is such a task, and it takes such data."""
    config, allow, data = case.config, case.allow, case.data
    if case.usable("task"):
        case.spec = trying("task", case.faults, partial(task_spec, config, allow))
    if data is not None and case.spec is not None:
        case.settled = trying("task", case.faults, partial(settled, config, data, allow))
        case.takes_data = case.settled is not None


def check_model(case: Case) -> None:
    config, spec, data = case.config, case.spec, case.data
    if data is None or spec is None or not case.takes_data:
        return
    if not case.usable("backbone", "head", "tuning"):
        return
    target, settings = config["task"]["_target_"], spec.model_settings()
    parts = [config["data"], config["backbone"], config["head"], target, settings]
    case.model_parts = [*parts, config.get("tuning")]
    look = partial(checked_model, config, data, case.allow)
    case.model, faults, warnings = case.shared.find(["model", *case.model_parts], look)
    case.faults += faults
    case.warnings += warnings


def check_machine(case: Case) -> None:
    """What this machine lacks is a warning: it may not be the one to train."""
    if case.usable("trainer"):
        case.lacking = lacking_for(case.config["trainer"])
        case.warnings += [str(fault) for fault in case.lacking]


def check_metrics(case: Case) -> None:
    """What validation will log, and whether the best checkpoint can be chosen by it."""
    config, spec, data = case.config, case.spec, case.data
    if data is None or spec is None or not case.takes_data:
        return
    model = case.model or nn.Identity()
    with torch.device("meta"):
        make = partial(assemble_task, config, model, data, case.allow)
        task = trying("task", case.faults, make)
    if task is None:
        return
    names = tuple(f"val/{name}" for name in spec.ask(spec.metric_names, model, data))
    case.metrics = MetricsReport(
        monitors=list(names),
        better=directions(spec, names),
        signed=signed(spec, names),
        counted=dict(task.counted) or None,
    )
    if case.usable("checkpoint"):
        case.faults += monitor_faults(config["checkpoint"], spec, names)


def check_cost(case: Case) -> None:
    """Parameters and FLOPs; whether the optimizer takes the parameters."""
    config, data, model = case.config, case.data, case.model
    if data is None or model is None:
        return
    look = partial(checked_cost, model, data, case.allow)
    case.cost, faults = case.shared.find(["cost", *case.model_parts], look)
    case.faults += faults
    if case.usable("optim") and not is_own_part(config["optim"], case.allow):
        parts = ["optimizer", *case.model_parts, config["optim"]]
        case.faults += case.shared.find(parts, partial(optimizer_faults, config, model))


def check_batch_statistics(case: Case) -> None:
    """BatchNorm, whose numbers depend on how a batch is cut up."""
    if case.model is None or case.data is None or case.training is None:
        return
    sizes = case.training.micro_batch_size, case.training.processes
    faults, warnings = batch_statistics(case.config, case.model, case.data, *sizes)
    case.faults += faults
    case.warnings += warnings


def check_memory(case: Case) -> None:
    """What a process holds, and sends to the others."""
    config, training = case.config, case.training
    if case.model is None or training is None:
        return
    if not case.faults and case.cost is not None:
        optim = {**config["optim"], "lr": 0, "weight_decay": 0}
        alike = [optim, config["ema"], config["trainer"].get("precision"), training.processes]
        parts = ["memory", *case.model_parts, *alike, training.micro_batch_size]
        sizes = training.micro_batch_size, training.processes
        look = partial(memory_or_none, config, facts_from_summary(case.cost.facts), *sizes)
        case.memory = case.shared.find(parts, look)
    if training.processes > 1:
        case.traffic = traffic_of(config, case.model, training.processes)
        warn_of_padding(case.traffic, case.warnings)


def check_determinism(case: Case) -> None:
    config, cost, training = case.config, case.cost, case.training
    if case.faults or cost is None or training is None:
        return
    if config["trainer"].get("deterministic"):
        parts = ["deterministic", *case.model_parts, config["trainer"]]
        facts, size = facts_from_summary(cost.facts), training.micro_batch_size
        look = partial(determinism, config, facts, size)
        case.determinism, fault = case.shared.find(parts, look)
        case.faults += [fault] if fault else []


def check_splits(case: Case) -> None:
    """What the data hold, as far as it is worth the look; whether a split is missing."""
    data = case.data
    if data is None:
        return
    if not case.faults:
        look = partial(data_report, data)
        case.data_report = case.shared.find(["data report", case.config["data"]], look)
        if case.run_dir is not None:
            folder, fingerprint = RunFolder(case.run_dir), case.data_report.fingerprint
            case.changes = changes_of(folder, data, fingerprint)
    if "val" not in data.lengths:
        message = "there is no val split to select by"
        case.faults.append(Fault("data.val_fraction", message))
    if "test" not in data.lengths:
        message = "the data has no test split: nothing will be tested after training"
        case.warnings.append(message)


def check_room(case: Case) -> None:
    """The GPU's memory, and the disk for the checkpoints."""
    if case.memory is not None and torch.cuda.is_available():
        warn_of_memory(case.config["trainer"], case.memory.total, case.warnings)
    if case.run_dir is not None and case.model is not None:
        kept = 2 if case.checkpoints is None else case.checkpoints
        require_room(case.run_dir, case.model, kept, case.faults)


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_schema,
    check_misfit,
    check_small_parts,
    check_checkpoints,
    check_tracking,
    check_trainer,
    replace_unusable,
    check_data,
    check_task,
    check_model,
    check_init,
    check_machine,
    check_length,
    check_metrics,
    check_recipe,
    check_reach,
    check_extension,
    check_cost,
    check_batch_statistics,
    check_memory,
    check_determinism,
    check_splits,
    check_room,
)
