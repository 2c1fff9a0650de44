"""Errors that parts raise while they are made, as faults of the config that names them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from vit.build import is_own
from vit.faults import Fault

T = TypeVar("T")


def trying(where: str, faults: list[Fault], make: Callable[[], T]) -> T | None:
    """What `make` returns; an error that tells the user what to change becomes a fault."""
    try:
        return make()
    except (ValueError, TypeError, ImportError, OSError) as error:
        faults.append(Fault(where, str(error)))
        return None


def trying_own(
    where: str, faults: list[Fault], allow: Iterable[str], make: Callable[[], T]
) -> T | None:
    """As `trying`; where parts are the user's own, which raise anything, any error is a fault."""
    try:
        return trying(where, faults, make)
    except Exception as error:
        if not allow:
            raise
        faults.append(Fault(where, error_message(error, allow)))
        return None


def is_own_part(part: Mapping[str, object], allow: Iterable[str]) -> bool:
    """Whether a part comes from a package that only the user allowed."""
    return is_own(str(part.get("_target_")), allow)


def error_message(error: Exception, allow: Iterable[str]) -> str:
    """An error in a fault's words; with kind and line where it was raised in the user's code."""
    if not allow:
        return str(error)
    name = type(error).__name__
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if any(f"{frame.f_globals.get('__name__')}.".startswith(f"{each}.") for each in allow)
    ]
    if lines:
        return f"{name} in {Path(lines[-1][0]).name}, line {lines[-1][1]}: {error}"
    return str(error) if isinstance(error, ValueError) else f"{name}: {error}"
