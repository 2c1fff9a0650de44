"""What an experiment sets for its own head, where somebody chooses another one.

`head.neck` of an experiment with head=deformable says nothing of head=detr, which has no neck: such
a setting goes with the head that it is for, as a choice does in vit/cli/choices.py. What both take,
such as `head.width`, stays; a word of the user's own is never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vit.build import CONTROL_KEYS
from vit.cli.declared import declared


def settings_of_other_head(
    composed: Any, words: Iterable[str], compose: Callable[[list[str]], Any]
) -> list[str]:
    """The words, `~head.neck`, that take such settings out of a composition of `words`."""
    words = list(words)
    keys = [word.partition("=")[0] for word in words]
    if "head" not in keys or "experiment" not in keys:
        return []
    foreign = _not_taken(composed) - {key.lstrip("+~").removeprefix("head.") for key in keys}
    if not foreign:
        return []
    others = [word for word, key in zip(words, keys, strict=True) if not _of_head(key)]
    own = compose(others)
    meant = _settings(own) - _not_taken(own)  # a slip of the experiment's stays a fault
    return [f"~head.{key}" for key in sorted(foreign & meant)]


def _of_head(key: str) -> bool:
    return key.lstrip("+~").partition(".")[0].partition("/")[0] == "head"


def _settings(composed: Any) -> set[str]:
    from omegaconf import DictConfig

    head = composed.get("head")
    return {str(key) for key in head} - {*CONTROL_KEYS} if isinstance(head, DictConfig) else set()


def _not_taken(composed: Any) -> set[str]:
    """The settings that the head's class does not take; none where that cannot be known."""
    settings = _settings(composed)
    target = composed.head.get("_target_") if settings else None
    takes = declared(target) if isinstance(target, str) else None
    return set() if takes is None or takes.takes_any else settings - takes.parameters.keys()
