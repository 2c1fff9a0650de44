"""Dataclasses as the plain values that JSON and the page's script read."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any


def as_plain(value: Any) -> Any:
    """A dataclass as a mapping in the order of its fields, and those within it and its lists.

    All else is handed on and not copied: curves and confusions may have a million numbers.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {name: as_plain(inner) for name, inner in vars(value).items()}
    if isinstance(value, list) and value and is_dataclass(value[0]):
        return [as_plain(each) for each in value]
    return value
