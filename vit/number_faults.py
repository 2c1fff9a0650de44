"""The numbers of a config against their bounds, see vit/number_bounds.py.

The rule for all comes first: finite, and not beyond what anything here counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vit.faults import Fault
from vit.number_bounds import CHECKPOINT, IDLE, MOST_WHOLE, ORDERED, RANGES, TOP, Bound, words_of

MOST = 1e12  # of any number that is no whole one


def number_faults(config: Mapping[str, Any]) -> list[Fault]:
    """Every number of a run's config that cannot be meant, at whatever depth."""
    faults = []
    for key, value in config.items():
        if key == "checkpoint" and isinstance(value, Mapping):
            faults += [f for k, v in value.items() for f in _of(v, f"{key}.{k}", CHECKPOINT.get(k))]
        else:
            faults += _of(value, str(key), TOP.get(key))
    return faults


def part_number_faults(node: Any, path: str) -> list[Fault]:
    """The same of one part."""
    return list(_of(node, path, None))


def _of(value: Any, path: str, bound: Bound | None) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        target = str(value.get("_target_", ""))
        words = words_of(target)
        for key, item in value.items():
            found = list(_of(item, f"{path}.{key}", words.get(key)))
            if not found and target.startswith("vit.") and key in RANGES:
                found = list(_range_fault(item, f"{path}.{key}"))
            yield from found
        yield from _order_faults(value, path)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _of(item, path, bound)
    elif isinstance(value, int | float) and (message := _number_message(value, bound)):
        yield Fault(path, message)


def idle_faults(config: Mapping[str, Any]) -> list[Fault]:
    """What a config asks for and takes back by another word, so that it would never happen.

    Of a run that is to begin: one that was trained so is none the worse for it.
    """
    faults = []
    for part, node in config.items():
        target = str(node.get("_target_")) if isinstance(node, Mapping) else ""
        for wanted, switch, off in IDLE.get(target, ()):
            asked = [key for key in wanted if node.get(key)]
            if asked and node.get(switch) == off:
                words = " ".join(f"{part}.{key}={node[key]}" for key in asked)
                without = " ".join(f"{part}.{key}=0" for key in asked)
                message = f"is {node[switch]}, and {words} would never happen; wanted another "
                faults.append(Fault(f"{part}.{switch}", f"{message}number, or {without}"))
    return faults


def _range_fault(value: Any, path: str) -> Iterator[Fault]:
    numbers = isinstance(value, list | tuple) and [x for x in value if isinstance(x, int | float)]
    if numbers and len(numbers) == 2 and numbers[0] > numbers[1]:
        low, high = numbers
        yield Fault(path, f"is from {low} to {high}; wanted the smaller first: [{high}, {low}]")


def _order_faults(node: Mapping[Any, Any], path: str) -> Iterator[Fault]:
    for least, most in ORDERED:
        low: Any = node.get(least)
        high: Any = node.get(most)
        if not (_is_number(low) and _is_number(high)) or high == -1:  # of Lightning's: no end
            continue
        if low > high:
            yield Fault(f"{path}.{least}", f"is {low}, and {path}.{most}={high}; wanted at most it")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number_message(value: int | float, bound: Bound | None) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; wanted a number" + (f", {bound}" if bound else "")
    if bound is not None and not bound.holds(value):
        return f"is {value}; wanted {bound}"
    most = MOST_WHOLE if isinstance(value, int) else MOST
    if abs(value) > most:
        return f"is {value:g}; no number here may be beyond {most:,.0f}"
    return None
