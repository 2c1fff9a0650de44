"""From a plain mapping with `_target_` to the object it names, and nothing else.

Hydra's `instantiate` blocks a list of known dangers; whatever is not on that list runs. Here it is
the other way round: a target must lie in a package of parts, both by the name written down and by
the place where the object was really defined, unless the user names another package; and it must
be of the kind that its slot takes (vit/slots.py), in the check and wherever a part is built.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vit.faults import did_you_mean
from vit.runs.environment import FromEnvironment
from vit.runs.own_packages import find_beside
from vit.slots import SLOTS, home_of, inside, misplaced, slots_of

ALLOWED = (
    "vit.layers.",
    "vit.models.",
    "vit.losses.",
    "vit.metrics.",
    "vit.data.",
    "vit.callbacks.",
    "vit.tuning.",
    "vit.optim.",
    "vit.tasks.",  # of these the tasks alone: see `locate`
    "vit.runs.tracking.",
    "vit.sweeps.",
    "torch.nn.",
    "torch._C._nn.",  # where torch.nn.functional's activations are really defined
    "torch.optim.",
    "torchvision.transforms.",
    "torchvision.ops.",
    "timm.layers.",
    "timm.loss.",
    "timm.optim.",
    "torchmetrics.",
    "optuna.samplers.",
    "optuna.pruners.",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.trainer.trainer.Trainer",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.strategies.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.plugins.",
)
TASKS = "vit.tasks."
TASK = "vit.tasks.task.Task"
CONTROL_KEYS = ("_target_", "_partial_")


class TargetError(ValueError):
    """A `_target_` that is absent, not allowed, or not a class or function."""


def locate(target: str, allow_targets: Iterable[str] = ()) -> Callable[..., Any]:
    """The class or function at a dotted path, if it lies where parts may come from.

    `allow_targets` are further packages, modules or whole dotted names that the user trusts.
    Raises TargetError, saying what was asked for and where parts may come from.
    """
    named = tuple(allow_targets)
    allowed = (*ALLOWED, *named)
    _require_allowed(target, target, allowed)
    if is_own(target, named):
        find_beside(named)
    found = _import(target)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise TargetError(f"{target!r} is a {type(found).__name__}; wanted a class or a function.")
    if not inspect.isclass(found) and "." in getattr(found, "__qualname__", "."):
        raise TargetError(f"{target!r} is a method; wanted a class or a function.")
    # An allowed module may hold forbidden things that it imported: ask where this one is from.
    _require_allowed(home_of(found), target, allowed)
    if home_of(found).startswith(TASKS) and not is_own(home_of(found), named):
        _require_task(found, target)
    return found


def _require_task(found: Callable[..., Any], target: str) -> None:
    """What else lies beside the tasks does things: it trains, evaluates, predicts, exports."""
    homes = [home_of(base) for base in getattr(found, "__mro__", ())]
    if TASK not in homes[1:]:
        raise TargetError(
            f"{target!r} is no task; of vit.tasks only the classes that extend {TASK} are parts."
        )


def is_own(name: str, allow_targets: Iterable[str]) -> bool:
    """Whether a dotted name lies in a package that the user has named."""
    return any(_within(name, package) for package in allow_targets)


def factory_for(
    node: Mapping[str, Any], allow_targets: Iterable[str], wanted: Any, key: str = ""
) -> Callable[..., Any]:
    """What makes a part, where that is of the kind which its slot takes: see vit/slots.py.

    `wanted` is a `slots.Takes` or an annotation; `key` is for the message. Raises TargetError.
    """
    named = tuple(allow_targets)
    factory = locate(node["_target_"], named)
    own = is_own(home_of(factory), named)
    if message := misplaced(factory, bool(node.get("_partial_")), wanted, own, key):
        raise TargetError(f"{node['_target_']!r} {message}")
    if inspect.isabstract(factory):
        lacking = ", ".join(sorted(getattr(factory, "__abstractmethods__", ())))
        raise TargetError(
            f"{node['_target_']!r} is what such parts have in common ({lacking} is "
            "left to each): wanted one of these parts"
        )
    return factory


def _require_allowed(name: str, written: str, allowed: Iterable[str]) -> None:
    private = any(part.startswith("_") for part in written.split("."))
    if not private and any(_within(name, prefix) for prefix in allowed):
        return
    origin = "" if name == written else f" (it is really {name!r})"
    package = written.split(".")[0]
    raise TargetError(
        f"{written!r} is outside the packages that parts may come from{origin}. "
        f"If you trust it, name its package: allow_targets=[{package}]"
    )


def _within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix if prefix.endswith(".") else prefix + ".")


def _import(target: str) -> Any:
    parts = target.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:split])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and module_name.startswith(error.name):
                continue  # the path goes on inside a module further up
            raise TargetError(
                f"{target!r} needs {error.name!r}, which is not installed."
            ) from error
        for depth, part in enumerate(parts[split:], start=split):
            if not hasattr(found, part):
                known = [name for name in dir(found) if not name.startswith("_")]
                raise TargetError(
                    f"{'.'.join(parts[:depth])!r} has no {part!r}.{did_you_mean(part, known)}"
                )
            found = getattr(found, part)
        return found
    raise TargetError(f"no module {parts[0]!r} for the target {target!r}; is it installed?")


def is_part(node: object) -> bool:
    return isinstance(node, Mapping) and "_target_" in node


def build_slot(
    slot: str, config: Mapping[str, Any], allow_targets: Iterable[str] = (), /, **given: Any
) -> Any:
    """The object that stands in one of a config's own slots: `data`, `backbone`, `optim`, …"""
    return build(config[slot], allow_targets, SLOTS[slot], slot, **given)


def build(
    node: Mapping[str, Any],
    allow_targets: Iterable[str] = (),
    wanted: Any = Any,
    where: str = "",
    /,
    **given: Any,
) -> Any:
    """The object that a part's mapping describes.

    `wanted` says what its slot takes, and `where` how that is called. Nested parts are built first.
    With `_partial_: true` the result is a `functools.partial` that its owner calls with the facts
    it alone knows. `given` are such facts for this part; they win over nothing: a key that is in
    the mapping as well is refused, so that YAML cannot contradict the data. Raises TargetError.
    """
    if not is_part(node):
        raise TargetError(f"wanted a mapping with `_target_`, got {node!r}")
    factory = factory_for(node, allow_targets, wanted, where)
    arguments = arguments_of(factory, node, allow_targets, where)
    twice = sorted(set(arguments) & set(given))
    if twice:
        raise ValueError(
            f"{node['_target_']}: {', '.join(twice)} must not be configured here; "
            "the data set or the model before it decides."
        )
    if node.get("_partial_"):
        return functools.partial(factory, **arguments, **given)
    made = factory(**arguments, **given)
    # A function of the user's own need not say what it makes.
    own = not inspect.isclass(factory)
    if own and (message := misplaced(type(made), False, wanted, True, where)):
        raise TargetError(f"what {node['_target_']!r} made {message}")
    return made


def arguments_of(
    factory: Callable[..., Any], node: Mapping[str, Any], allow_targets: Iterable[str], where: str
) -> dict[str, Any]:
    """What a part's mapping says of its arguments, as `build` passes them to its factory."""
    hints, slots = parameter_types(factory), slots_of(factory)
    return {
        str(key): _fitted(
            _built(value, allow_targets, slots.get(str(key), Any), _below(where, key)),
            hints.get(str(key)),
        )
        for key, value in node.items()
        if key not in CONTROL_KEYS
    }


def _built(value: Any, allow_targets: Iterable[str], wanted: Any, where: str) -> Any:
    if is_part(value):
        return build(value, allow_targets, wanted, where)
    if isinstance(value, Mapping):
        within = inside(wanted)
        return {
            key: _built(item, allow_targets, within, _below(where, key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        within = inside(wanted)
        return [
            _built(item, allow_targets, within, _below(where, at)) for at, item in enumerate(value)
        ]
    if isinstance(value, FromEnvironment):
        return str(value)  # parts, and what they save, know nothing of where it is from
    return value


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _fitted(value: Any, hint: Any) -> Any:
    """YAML has lists only, and writes 1 for 1.0: give tuples and floats where they are declared."""
    options = typing.get_args(hint) if is_union(hint) else (hint,)
    if isinstance(value, list) and any(typing.get_origin(option) is tuple for option in options):
        return tuple(value)
    if type(value) is int and float in options and int not in options:
        return float(value)
    return value


def is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"


@functools.cache
def parameter_types(factory: Callable[..., Any]) -> dict[str, Any]:
    """Parameter name → resolved type; empty where the annotations cannot be resolved."""
    subject = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(subject)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}
