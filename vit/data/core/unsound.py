"""Data of which nothing can be made, with all that was found wrong on the way there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vit.data.core.sources import Contents
from vit.data.formats.plain_text import in_words, is_text
from vit.faults import Fault

Read = TypeVar("Read", bound=Contents[Any])


class Unsound(ValueError):
    """Raised where reading cannot go on; carries every fault that was collected before."""

    def __init__(self, faults: Sequence[Fault]):
        self.faults = list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def require_sound(faults: Sequence[Fault]) -> None:
    """Raises Unsound with every fault of the listing, where there are any."""
    if faults:
        raise Unsound(faults)


def faults_of(error: Exception) -> list[Fault]:
    """What a check says of an error of reading: each fault that it carries, or itself."""
    return error.faults if isinstance(error, Unsound) else [Fault("data", str(error))]


def read_in_words(read: Callable[[], Read]) -> Read:
    """What a kind of data reads; all that the system denies becomes a ValueError in words.

    Names of classes that cannot be written down are refused here for every kind.
    """
    try:
        contents = read()
    except OSError as fault:
        raise ValueError(in_words(fault)) from None
    origin = contents.origin.get("train", "data")
    for name in contents.class_names:
        if not is_text(name):
            raise ValueError(
                f"{origin}: the name of the class {name!r} is no UTF-8, as of another system; "
                "rename it (convmv -f WINDOWS-1252 -t UTF-8 renames folders)."
            )
    return contents
