"""Names of classes: in which order, and which of them may be one class."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vit.faults import Fault

NUMBER = re.compile(r"[+-]?\d{1,300}(\.\d{0,300})?")
NAMED = 5  # faults of one sort that are spelt out
WHOLE = re.compile(r"-?\d{1,4000}")  # Python refuses to read longer ones


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """Numbers by value, anything else by letters; what is equal by its letters too.

    So the order is the same in every process, whatever order the names come in.
    """
    names = set(names)
    if all(WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def same_numbers(names: Iterable[str], where: str) -> list[Fault]:
    """A fault where two names are one number, as 1 and 01, or 1 and 1.0, are.

    Whoever reads one of two files by numbers writes them so; each would be half a class.
    """
    seen: dict[float | int, str] = {}
    faults = []
    for name in sorted(set(names)):
        if NUMBER.fullmatch(name):
            number = int(name) if WHOLE.fullmatch(name) else float(name)
            other = seen.setdefault(number, name)
            if other != name:
                message = (
                    f"the labels {other!r} and {name!r} are one number, and would be two classes; "
                    "write all of them alike."
                )
                faults.append(Fault(where, message))
    if len(faults) > NAMED:
        more = f"{len(faults) - NAMED:,} more labels are one number with others."
        faults[NAMED:] = [Fault(where, more)]
    return faults
