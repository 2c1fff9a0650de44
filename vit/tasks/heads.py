"""Building a head, and what is said of one that belongs to another task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def head_for(task: str, such_as: str, head: Callable[..., Any], **given: Any) -> Any:
    """The head, built from what the task gives every head of its own.

    Raises ValueError where this one takes other things; `such_as` names one that fits.
    """
    try:
        return head(**given)
    except TypeError as error:
        told = str(error)
        # That it lacks what another task gives, or takes none of this, is Python's way to say it.
        of_another = "required" in told or any(f"argument '{name}'" in told for name in given)
        takes = f"such a head takes {', '.join(given)}"
        message = f"is no head that {task} can build; {such_as} is"
        raise ValueError(f"{message} ({takes if of_another else told})") from error
