"""Every number that a config can hold, set to what it must not be; see test_numbers.py."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from typing import Any

from vit.build import is_part, locate, parameter_types
from vit.number_bounds import CHECKPOINT, TOP, words_of
from vit.schema import given_by_code

VALUES = (math.nan, math.inf, -1, 0, 1e300, 10**12)
# Of what is config: the data's seed is the run's; of a search's constraints any number is meant.
WITHOUT_BOUND = {"seed", "constraints"}


def numeric(hint: Any) -> bool:
    return hint in (int, float) or any(numeric(each) for each in getattr(hint, "__args__", ()))


def numbers_of(target: str) -> dict[str, Any]:
    """The numbers that a class takes from a config: name → type."""
    factory = locate(target)
    hints, given = parameter_types(factory), given_by_code(factory)
    return {
        name: hints[name]
        for name in inspect.signature(factory).parameters
        if name in hints
        and name not in given
        and numeric(hints[name])
        and "Callable" not in str(hints[name])
    }


def parts(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part inside a config, with its dotted place."""
    if is_part(node):
        yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from parts(value, f"{path}.{key}" if path else str(key))


def bound_of(target: str, name: str) -> Any:
    return words_of(target).get(name)


def places(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """`(dotted key, bound)` of every number that this config holds or could hold."""
    for path, node in parts(config):
        for name in numbers_of(node["_target_"]):
            if bound := bound_of(node["_target_"], name):
                yield f"{path}.{name}", bound
    for name, bound in CHECKPOINT.items():
        yield f"checkpoint.{name}", bound
    for name, bound in TOP.items():
        yield name, bound


def with_value(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one key set; where a tuple is wanted each of its places gets the value."""
    changed = copy.deepcopy(config)
    *above, name = key.split(".")
    node = changed
    for part in above:
        node = node[part]
    before = node.get(name)
    node[name] = [value] * len(before) if isinstance(before, list) and before else value
    return changed
