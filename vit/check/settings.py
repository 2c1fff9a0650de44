"""What of a config can be checked without its data and its model."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from vit.build import build_slot
from vit.callbacks.checkpoints.policy import checkpoint_callbacks, policy_of
from vit.check.case import Case
from vit.check.trainer import trainer_faults
from vit.check.trying import trying, trying_own
from vit.faults import Fault
from vit.frozen import is_sharded
from vit.number_faults import idle_faults
from vit.runs.online import why_not_online
from vit.runs.tracking import Wandb
from vit.schema import OPTIONAL_PARTS, schema_faults

# Stand-ins for parts with faults, so that the rest can be checked in the same go.
STAND_INS = {
    "seed": 0,
    "compile": False,
    "optim": {"_target_": "vit.optim.optimizer.Optim"},
    "schedule": {"_target_": "vit.optim.schedules.Constant"},
}


def check_schema(case: Case) -> None:
    """Keys, types, targets and numbers."""
    case.faults += schema_faults(case.config)
    case.faults += idle_faults(case.config)
    case.unusable |= {fault.where.split(".")[0] for fault in case.faults}


def check_small_parts(case: Case) -> None:
    """Optimizer, schedule, average, callbacks: building them shows what is wrong with them."""
    config, allow = case.config, case.allow
    for key in ("optim", "schedule"):
        make = partial(build_slot, key, config, allow)
        if case.usable(key) and trying_own(key, case.faults, allow, make) is None:
            case.unusable.add(key)
    for key in OPTIONAL_PARTS:
        if config.get(key) is None or not case.usable(key):
            continue
        if trying(key, case.faults, partial(build_slot, key, config, allow)) is None:
            case.unusable.add(key)


def check_checkpoints(case: Case) -> None:
    if not case.usable("checkpoint"):
        return
    settings = case.config["checkpoint"]
    make = partial(checkpoint_callbacks, Path(), **policy_of(settings))
    trying("checkpoint", case.faults, make)
    if settings.get("sharded") and not is_sharded(case.config):
        message = "is for weights in shards, trainer=fsdp; otherwise take false"
        case.faults.append(Fault("checkpoint.sharded", message))


def check_tracking(case: Case) -> None:
    if not case.usable("tracking"):
        return
    make = partial(build_slot, "tracking", case.config, case.allow)
    tracking = trying("tracking", case.faults, make)
    if isinstance(tracking, Wandb) and tracking.mode == "online":
        case.faults += case.shared.find(["online"], online_faults)


def online_faults() -> list[Fault]:
    """What would keep a run from being tracked online."""
    problem = why_not_online()
    if problem is None:
        return []
    message = f"is online, but {problem}. Or tracking.mode=offline, and vit sync RUN_DIR later"
    return [Fault("tracking.mode", message)]


def check_trainer(case: Case) -> None:
    if not case.usable("trainer"):
        return
    config, allow = case.config, case.allow
    parts = ["trainer", config["trainer"]]
    faults = case.shared.find(parts, lambda: trainer_faults(config, allow))
    case.faults += faults
    case.unusable |= {"trainer"} if faults else set()


def replace_unusable(case: Case) -> None:
    """What has faults makes way for a stand-in where there is one; its fault is noted already."""
    stand_ins = {key: STAND_INS[key] for key in case.unusable & STAND_INS.keys()}
    case.config = {**case.config, **stand_ins}
