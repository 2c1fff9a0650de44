"""What may stand where: each slot of a config takes parts of its own kind, and nothing else.

A slot at the top of a config (`data`, `backbone`, …) has its kind here; one inside of a part has
it from the annotation of the parameter that the part is passed to. A kind is a class, or a protocol
whose members are asked for. What would be made counts: a class makes its own instances, and so
does one that waits (`_partial_: true`) where its owner calls it.

A function is taken nowhere but where a plain callable is wanted: calling one is all that a
stranger's config would need. Packages that the user has named are code that the user trusts, so a
function of theirs may make a part; what it makes is held against the slot once it is there.
"""

from __future__ import annotations

import collections.abc
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vit.faults import did_you_mean


@dataclass(frozen=True)
class Takes:
    """Kinds by their dotted names, which are imported only when a part comes.

    For `Annotated[Any, Takes(…)]`, where importing the class would cost seconds. `own` are the
    kinds that a class of a package of the user's may have instead.
    """

    names: tuple[str, ...]
    own: tuple[str, ...] = ()

    def kinds(self, own: bool) -> tuple[type, ...]:
        return tuple(_named(name) for name in (*self.names, *(self.own if own else ())))


SLOTS: dict[str, Takes] = {
    "data": Takes(("vit.data.core.samples.SampleData",)),
    "task": Takes(("vit.tasks.task.Task",)),
    "backbone": Takes(("torch.nn.Module",)),
    "head": Takes(("torch.nn.Module",)),
    "optim": Takes(("vit.optim.optimizer.Optim",), own=("vit.tasks.task.OptimizerPart",)),
    "schedule": Takes(("vit.optim.schedules.Schedule",), own=("vit.tasks.task.SchedulePart",)),
    "tuning": Takes(("vit.tuning.freezing.Tuning",)),
    "ema": Takes(
        ("vit.callbacks.ema.Ema", "pytorch_lightning.callbacks.WeightAveraging"),
        own=("pytorch_lightning.Callback",),
    ),
    "trainer": Takes(("pytorch_lightning.Trainer",)),
    "tracking": Takes(("vit.runs.tracking.Tracking",)),
    "watch": Takes(("vit.callbacks.watch.Watch",)),
    "sweep": Takes(("vit.sweeps.policy.Policy",)),
}
MODULE = "torch.nn.modules.module.Module"
# What a parameter takes that does not say what it wants: making one of these does nothing else.
# By the places where they are really defined, so that nothing is imported to compare.
PARTS = (
    MODULE,
    "torch.optim.optimizer.Optimizer",
    "vit.data.augment.Augmentation",
    "vit.data.augment_boxes.BoxAugmentation",
)
PLAIN_TRANSFORMS = "torchvision.transforms.transforms."  # its older ones have no common base
# Modules all the same, but some of them fetch weights when they are made.
MEASURES = "torchmetrics.metric.Metric"
# Called with tensors by the part that they are passed to.
ACTIVATIONS = ("torch.nn.functional.", "torch._C._nn.")
VALUES = (bool, int, float, complex, str, bytes, list, dict, tuple, set, frozenset, type(None))
MOST_NAMED = 6


def misplaced(
    factory: Callable[..., Any], waits: bool, wanted: Any, own: bool, key: str = ""
) -> str | None:
    """Why what `factory` makes cannot stand in a slot, in words; None where it can.

    `wanted` is a Takes or an annotation. `waits` is `_partial_: true`; `own` says that the user has
    named its package.
    """
    if fits(factory, waits, wanted, own):
        return None
    what = "class" if inspect.isclass(factory) else "function"
    came = f"is the {what} {home_of(factory)}{', which waits to be called' if waits else ''}"
    named = list(_kinds_of(wanted, own))
    wanted_kinds = " or ".join(dict.fromkeys(kind.__name__ for kind in named)) or "no part at all"
    waiting = _wants_waiting(wanted)
    wanted_kinds += ", with `_partial_: true`" if waiting and not waits else ""
    return f"{came}; {key or 'this slot'} takes {wanted_kinds}.{_instead(factory, named, key)}"


def fits(factory: Callable[..., Any], waits: bool, wanted: Any, own: bool) -> bool:
    """Whether what `factory` makes, or waits to make, is of the kind that is wanted."""
    return any(_fits(factory, waits, option, own) for option in _options(wanted))


def _instead(factory: Callable[..., Any], kinds: list[type], key: str) -> str:
    """What else fits: the classes of that kind that are at hand."""
    known = sorted(
        {
            home_of(found)
            for kind in kinds
            if kind.__module__.split(".")[0] != "torch"
            for found in (kind, *_descendants(kind))
            if found.__module__.split(".")[0] in ("vit", "optuna", "pytorch_lightning")
            and not inspect.isabstract(found)
            and not getattr(found, "_is_protocol", False)
            and not found.__name__.startswith("_")
        }
    )
    if not known:
        return f" conf/{key.replace('.', '/')}/ has what is shipped for it." if key else ""
    more = ", …" if len(known) > MOST_NAMED else ""
    near = did_you_mean(home_of(factory), known)
    return f" There is {', '.join(known[:MOST_NAMED])}{more}.{near}"


def _descendants(kind: type) -> Iterator[type]:
    found: list[type] = type.__subclasses__(kind)
    for below in found:
        yield below
        yield from _descendants(below)


def inside(wanted: Any) -> Any:
    """The kind of the items, where `wanted` is that of a list or of a mapping."""
    found = []
    for option in _options(wanted):
        arguments = [each for each in typing.get_args(option) if each is not Ellipsis]
        origin = typing.get_origin(option)
        if _is_collection(origin) and arguments:
            mapping = issubclass(origin, collections.abc.Mapping)
            found += arguments[1:] if mapping else arguments
        elif _says_nothing(option) or option in (list, dict, tuple, set):
            return Any
    return typing.Union[tuple(found)] if found else type(None)  # noqa: UP007 - made at run time


@functools.cache
def slots_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """Parameter name → what a part for it must be; those that do not say are left out."""
    subject = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(subject, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return {}


def _fits(factory: Callable[..., Any], waits: bool, wanted: Any, own: bool) -> bool:
    if _says_nothing(wanted):
        return own or _is_part(factory)
    if isinstance(wanted, Takes):
        return not waits and _makes(factory, wanted.kinds(own), own)
    origin = typing.get_origin(wanted)
    if origin is typing.Annotated:
        return any(_fits(factory, waits, each, own) for each in _takes(wanted))
    if origin is type:
        return waits and _makes(factory, tuple(typing.get_args(wanted)), own)
    if origin is collections.abc.Callable or wanted is collections.abc.Callable:
        return _fits_callable(factory, waits, _result(wanted), own)
    kind = origin or wanted
    if not isinstance(kind, type) or wanted in VALUES:
        return False
    return not waits and _makes(factory, (kind,), own)


def _fits_callable(factory: Callable[..., Any], waits: bool, result: Any, own: bool) -> bool:
    """A waiting class where its owner makes parts; else something that is called with tensors."""
    if own:
        return True
    if waits and inspect.isclass(factory):
        return any(_fits(factory, False, option, own) for option in _options(result))
    if waits:
        return not _is_object(result) and home_of(factory).startswith(ACTIVATIONS)
    is_called = any("__call__" in vars(base) for base in getattr(factory, "__mro__", ()))
    return is_called and _is_part(factory) and not _is_object(result)


def _makes(factory: Callable[..., Any], kinds: tuple[Any, ...], own: bool) -> bool:
    if not inspect.isclass(factory):
        if not own:
            return False
        returned = slots_of(factory).get("return", Any)
        if _says_nothing(returned) or not inspect.isclass(returned):
            return True  # it does not say; `build` looks at what it made
        factory = returned
    for kind in kinds:
        if inspect.isclass(kind) and _is_a(factory, kind):
            measure = MEASURES in _homes(factory) and MEASURES not in _homes(kind)
            return own or not measure
    return False


def _is_a(found: type, kind: type) -> bool:
    if not getattr(kind, "_is_protocol", False):
        return issubclass(found, kind)
    asked = [
        name
        for base in kind.__mro__
        if getattr(base, "_is_protocol", False) and base is not typing.Protocol
        for name in (*vars(base), *vars(base).get("__annotations__", {}))
        if not name.startswith("_")
    ]
    if "forward" in asked and MODULE not in _homes(found):
        return False  # a protocol cannot say it: what has a `forward` is to be a torch module
    given = {name for base in found.__mro__ for name in vars(base).get("__annotations__", {})}
    return all(name in given or hasattr(found, name) for name in asked)


def _is_part(factory: Callable[..., Any]) -> bool:
    if not inspect.isclass(factory):
        return False
    homes = _homes(factory)
    if MEASURES in homes:
        return False
    return not homes.isdisjoint(PARTS) or any(home.startswith(PLAIN_TRANSFORMS) for home in homes)


def _homes(found: type) -> set[str]:
    return {home_of(base) for base in found.__mro__}


def home_of(found: Any) -> str:
    """The dotted name of the place where it is really defined."""
    return f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', '?')}"


def _options(wanted: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
    return typing.get_args(wanted) if is_union else (wanted,)


def _says_nothing(wanted: Any) -> bool:
    return wanted in (Any, object, inspect.Parameter.empty) or isinstance(wanted, typing.TypeVar)


def _is_object(wanted: Any) -> bool:
    """Whether a result is a part, and no tensor or picture that a callable turns another into."""
    kinds = [] if _says_nothing(wanted) else _kinds_of(wanted, False)
    return any(
        not _homes(kind).isdisjoint(PARTS) or kind.__module__.startswith("vit.") for kind in kinds
    )


def _kinds_of(wanted: Any, own: bool) -> Iterator[type]:
    """The classes that a slot names, those that waiting parts are to make among them."""
    for option in _options(wanted):
        if isinstance(option, Takes):
            yield from option.kinds(own)
        elif typing.get_origin(option) is typing.Annotated:
            for takes in _takes(option):
                yield from _kinds_of(takes, own)
        elif typing.get_origin(option) is collections.abc.Callable:
            yield from _kinds_of(_result(option), own)
        elif typing.get_origin(option) is type:
            yield from _kinds_of(typing.get_args(option)[0], own)
        elif _says_nothing(option):
            yield from (_named(name) for name in PARTS)
        elif isinstance(option, type) and option not in VALUES:
            yield option


def _wants_waiting(wanted: Any) -> bool:
    origins = (typing.get_origin(option) for option in _options(wanted))
    return any(origin in (collections.abc.Callable, type) for origin in origins)


def _result(wanted: Any) -> Any:
    arguments = typing.get_args(wanted)
    return arguments[-1] if arguments else Any


def _takes(wanted: Any) -> list[Any]:
    said = [each for each in wanted.__metadata__ if isinstance(each, Takes)]
    return said or list(_options(typing.get_args(wanted)[0]))


def _is_collection(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, collections.abc.Iterable)


def _named(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
