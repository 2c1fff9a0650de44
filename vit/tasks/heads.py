"""Building a head, and what is said of one that belongs to another task."""

from __future__ import annotations

from collections.abc import Callable
from traceback import extract_tb
from typing import Any


def head_for(task: str, such_as: str, head: Callable[..., Any], **given: Any) -> Any:
    """The head, built from what the task gives every head of its own.

    Raises ValueError where this one takes other things; `such_as` names one that fits.
    """
    try:
        return head(**given)
    except TypeError as error:
        told = str(error)
        # That it lacks what another task gives, or takes none of this, is Python's way to say it;
        # once its own code runs, that is said of a part of it, as of a neck.
        entered = any(frame.name == "__init__" for frame in extract_tb(error.__traceback__))
        unfit = "required" in told or any(f"argument '{name}'" in told for name in given)
        takes = f"such a head takes {', '.join(given)}"
        message = f"is no head that {task} can build; {such_as} is"
        raise ValueError(f"{message} ({takes if unfit and not entered else told})") from error
