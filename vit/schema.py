"""Signatures are the schema: keys and types of a config against what its targets declare."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from vit.build import (
    CONTROL_KEYS,
    TargetError,
    factory_for,
    is_own,
    is_part,
    is_union,
    parameter_types,
)
from vit.faults import Fault, did_you_mean
from vit.number_faults import number_faults
from vit.plain_keys import CHECKPOINT, PLAIN
from vit.runs.identity import HOW_CHECKPOINTS_ARE_WRITTEN
from vit.runs.remarks import remark_faults
from vit.runs.shapes import SCHEMA_VERSION
from vit.slots import SLOTS, home_of, inside, slots_of

PARTS = (
    *("backbone", "head", "data", "task", "optim", "schedule", "ema", "trainer", "tracking"),
    *("watch", "tuning"),
)
# The two exceptions from the rule that what code gives is positional: a data set is a dataclass, in
# which a positional field with a default would forbid those after it; the Trainer is Lightning's.
GIVEN_BY_KEYWORD: dict[str, frozenset[str]] = {
    "data": frozenset({"seed"}),
    "trainer": frozenset(
        {
            "logger",
            "callbacks",
            "use_distributed_sampler",
            "default_root_dir",
            "enable_progress_bar",
            "enable_model_summary",
            "plugins",
        }
    ),
}
GIVEN_BY_POSITION = ("backbone", "head", "task")  # slots whose parts code gives anything else
OPTIONAL_PARTS = ("ema", "watch", "tuning")  # null: this run has none


def schema_faults(config: Mapping[str, Any], only: Collection[str] | None = None) -> list[Fault]:
    """Every key that nothing takes, every value of another type, every target not allowed.

    With `only`, of the parts these alone are looked into, since that imports their classes.
    """
    faults = []
    known = [*PLAIN, *PARTS, "checkpoint"]
    for key in config:
        if key not in known:
            faults.append(Fault(str(key), f"no such key at the top.{did_you_mean(key, known)}"))
    for key, hint in PLAIN.items():
        faults += _value_faults(key, config.get(key), hint)
    version = config.get("schema_version")
    if isinstance(version, int) and version != SCHEMA_VERSION:
        message = f"is {version}; this vit writes and reads {SCHEMA_VERSION}"
        faults.append(Fault("schema_version", message))
    allowed = config.get("allow_targets") or []
    if faults and not isinstance(allowed, list):
        allowed = []
    for key in PARTS:
        if only is not None and key not in only:
            continue
        node = config.get(key)
        if node is None and key in OPTIONAL_PARTS:
            continue
        faults += slot_faults(key, node, allowed)
    faults += _checkpoint_faults(config.get("checkpoint"))
    faults += _process_faults(config.get("trainer"))
    faults += remark_faults(config)
    noted = {fault.where for fault in faults}
    return faults + [fault for fault in number_faults(config) if fault.where not in noted]


def frozen_faults(config: Mapping[str, Any]) -> list[Fault]:
    """What of a run's own file cannot be trained, in milliseconds and without any part's code.

    Keys may be missing that came with an upgrade, and others stand there; parts are judged where
    they are built.
    """
    faults = []
    for key, hint in PLAIN.items():
        if key in config or key in ("name", "seed", "threads"):
            faults += _value_faults(key, config.get(key), hint)
    for key in ("checkpoint", *(part for part in PARTS if part not in OPTIONAL_PARTS)):
        if not isinstance(node := config.get(key), Mapping):
            faults.append(Fault(key, f"wanted a mapping, got {node!r}"))
    faults += _process_faults(config.get("trainer"))
    noted = {fault.where for fault in faults}
    return faults + [fault for fault in number_faults(config) if fault.where not in noted]


def slot_faults(slot: str, node: object, allow_targets: Iterable[str]) -> list[Fault]:
    """The faults of what stands in one of a config's own slots: `data`, `backbone`, `sweep`, …"""
    if not isinstance(node, Mapping):
        return [Fault(slot, f"wanted a part with `_target_`, got {node!r}")]
    return part_faults(node, slot, allow_targets, SLOTS[slot])


def _process_faults(trainer: object) -> list[Fault]:
    """A run promises a number of processes, and that number is part of what it is."""
    if not isinstance(trainer, Mapping):
        return []
    return [
        Fault(
            f"trainer.{key}",
            f"is {value!r}; wanted a whole number from 1 on, since it is part of the run. Which "
            "GPUs those are, CUDA_VISIBLE_DEVICES says.",
        )
        for key in ("devices", "num_nodes")
        if type(value := trainer.get(key, 1)) is not int or value < 1
    ]


def _checkpoint_faults(node: object) -> list[Fault]:
    if not isinstance(node, Mapping):
        return [Fault("checkpoint", f"wanted a mapping, got {node!r}")]
    faults = [
        Fault(f"checkpoint.{key}", f"no such key.{did_you_mean(key, CHECKPOINT)}")
        for key in node
        if key not in CHECKPOINT
    ]
    for key, hint in CHECKPOINT.items():
        if key in HOW_CHECKPOINTS_ARE_WRITTEN and key not in node:
            continue  # configs from before there were such keys
        faults += _value_faults(f"checkpoint.{key}", node.get(key), hint)
    return faults


def part_faults(
    node: Mapping[str, Any],
    path: str,
    allow_targets: Iterable[str],
    wanted: Any = Any,
) -> list[Fault]:
    """The faults of one part and of the parts inside it; `wanted` is what its slot takes.

    Positional parameters of a class of ours are given by code, keyword-only ones are config. Of
    others' classes every parameter is config, though a user's own may leave in a slot of the config
    what code gives there: whether it is enough, building it tells.
    """
    allow_targets = tuple(allow_targets)
    if "_target_" not in node:
        group = path.replace(".", "/")
        return [Fault(path, f"has no `_target_`; choose one of conf/{group}/ or name a class")]
    target = node["_target_"]
    if not isinstance(target, str):
        return [Fault(f"{path}._target_", f"wanted a dotted path, got {target!r}")]
    try:
        factory = factory_for(node, allow_targets, wanted, path)
        signature = inspect.signature(factory)
    except TargetError as error:
        return [Fault(f"{path}._target_", str(error))]
    except ValueError:
        return []  # something written in C, which tells no signature
    faults = []
    parameters = signature.parameters
    given = given_by_code(factory) | GIVEN_BY_KEYWORD.get(path, frozenset())
    may_be_given = path in GIVEN_BY_POSITION and is_own(home_of(factory), allow_targets)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints, slots = parameter_types(factory), slots_of(factory)
    for key, value in node.items():
        if key in CONTROL_KEYS:
            continue
        here = f"{path}.{key}"
        if key in given:
            faults.append(Fault(here, "is decided by the data or the model; take it out"))
        elif key not in parameters and not takes_any:
            known = [name for name in parameters if name not in given]
            advice = (
                did_you_mean(str(key), known) or f" Where a file sets it, ~{here} leaves it out."
            )
            faults.append(Fault(here, f"{target} takes no {key!r}.{advice}"))
        else:
            faults += _value_faults(here, value, hints.get(str(key), Any))
        faults += _inside(value, here, allow_targets, slots.get(str(key), Any))
    if not node.get("_partial_"):
        for name, parameter in parameters.items():
            is_config = parameter.kind is parameter.KEYWORD_ONLY or (
                parameter.kind is parameter.POSITIONAL_OR_KEYWORD and not may_be_given
            )
            needed = parameter.default is parameter.empty and is_config
            if needed and name not in node and name not in given:
                faults.append(Fault(f"{path}.{name}", f"must be given: {target} needs it"))
    return faults


def given_by_code(factory: Callable[..., Any]) -> frozenset[str]:
    """What code gives a class of ours: its positional parameters."""
    if not home_of(factory).startswith("vit."):
        return frozenset()
    parameters = inspect.signature(factory).parameters.values()
    return frozenset(
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    )


def _inside(value: Any, path: str, allow_targets: Iterable[str], wanted: Any) -> list[Fault]:
    if is_part(value):
        return part_faults(value, path, allow_targets, wanted)
    if isinstance(value, Mapping):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return []
    within = inside(wanted)
    return [f for key, item in items for f in _inside(item, f"{path}.{key}", allow_targets, within)]


def _value_faults(path: str, value: Any, hint: Any) -> list[Fault]:
    if fits(value, hint):
        return []
    came = f"{value!r} ({type(value).__name__})"
    wanted = readable(hint)
    near = did_you_mean(str(value), _choices(hint))
    return [Fault(path, f"is {came}; wanted {wanted}.{near}")]


def _choices(hint: Any) -> list[str]:
    if typing.get_origin(hint) is typing.Literal:
        return [str(choice) for choice in typing.get_args(hint)]
    return [choice for option in typing.get_args(hint) for choice in _choices(option)]


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain YAML value can stand for a type; what is no plain type is not judged."""
    if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, str | typing.TypeVar):
        return True
    if is_part(value):
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_union(hint):
        return any(fits(value, option) for option in arguments)
    if origin is typing.Literal:
        return any(value == option and type(value) is type(option) for option in arguments)
    if origin is typing.Annotated:
        return fits(value, arguments[0])
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str)
    if origin is tuple:
        return isinstance(value, list | tuple) and _tuple_fits(value, arguments)
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable, set, frozenset):
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, Mapping)
    if hint in (list, dict, tuple):
        return isinstance(value, list if hint is not dict else Mapping)
    if origin is collections.abc.Callable or isinstance(hint, type | types.GenericAlias):
        return not isinstance(value, bool | int | float | str)  # it asks for a part
    return True


def _tuple_fits(value: list[Any] | tuple[Any, ...], arguments: tuple[Any, ...]) -> bool:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(fits(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(
        fits(item, hint) for item, hint in zip(value, arguments, strict=True)
    )


def readable(hint: Any) -> str:
    """`int`, `one of 'crop', 'squash'`, `float or nothing`: a type as a person says it."""
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(option) for option in typing.get_args(hint))
    if is_union(hint):
        names = dict.fromkeys(readable(option) for option in typing.get_args(hint))
        return " or ".join(names)
    if hint is type(None) or hint is None:
        return "null"
    if isinstance(hint, type) and not typing.get_args(hint):
        return {"int": "a whole number", "float": "a number", "str": "text"}.get(
            hint.__name__, "true or false" if hint is bool else hint.__name__
        )
    if typing.get_origin(hint) in (list, tuple) and (items := typing.get_args(hint)):
        each = dict.fromkeys(readable(item) for item in items if item is not Ellipsis)
        return f"a list, each {' or '.join(each)}"
    return str(hint).replace("typing.", "")
