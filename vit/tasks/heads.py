"""Building a head, and what is said of one that belongs to another task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from vit.tasks.spec import TaskSpec


def build_head(spec: TaskSpec, head: Callable[..., Any], **given: object) -> Any:
    """The head of a task's model, built from what the task gives every head of its own.

    Raises ValueError where this one takes other things when it is built, or is called otherwise
    than the spec's `head_protocol` says, and where its own code fails.
    """
    if not _takes(head, given):
        raise _unfit(spec, f"such a head takes {', '.join(given)}")
    try:
        built = head(**given)
    except TypeError as error:
        raise ValueError(f"could not be built: {error}") from error
    if spec.head_protocol is not None and (called := _called_otherwise(built, spec.head_protocol)):
        raise _unfit(spec, called)
    return built


def _takes(head: Callable[..., Any], given: Mapping[str, object]) -> bool:
    try:
        signature = inspect.signature(head)
    except ValueError:
        return True  # something written in C, which tells no signature
    try:
        signature.bind(**given)
    except TypeError:
        return False
    return True


def _called_otherwise(built: object, protocol: type) -> str | None:
    """How such a head is called, where this one cannot be; None where it can."""
    if not isinstance(built, nn.Module) or type(built).forward is nn.Module.forward:
        return None  # no head at all, as the model will say
    wanted = list(inspect.signature(protocol.__call__).parameters.values())[1:]  # without self
    by_name = {each.name: None for each in wanted if each.kind is each.KEYWORD_ONLY}
    in_order = [each.name for each in wanted if each.kind is not each.KEYWORD_ONLY]
    own = inspect.signature(built.forward)
    try:
        own.bind(*in_order, **by_name)
    except TypeError:
        takes = ", ".join([*in_order, *(f"{name}=" for name in by_name)])
        came = f"{type(built).__name__}.forward takes {', '.join(own.parameters) or 'nothing'}"
        return f"such a head is called with {takes}; {came}"
    return None


def _unfit(spec: TaskSpec, why: str) -> ValueError:
    such_as = f"; {spec.head_example} is" if spec.head_example else ""
    return ValueError(f"is no head that {spec.chosen_by} can build{such_as} ({why})")
