"""What an experiment sets for its own parts, where somebody chooses others.

`head.neck` of an experiment with head=deformable says nothing of head=detr, which has no neck, nor
does `backbone.dim` of backbone=timm: such a setting goes with the part that it is for, as a choice
does in vit/cli/choices.py. What both take, such as `head.width`, stays; a word of the user's own is
never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vit.build import CONTROL_KEYS
from vit.cli.declared import declared

PARTS = ("head", "backbone", "data")  # whose choices differ in what they take


def settings_of_other_parts(
    composed: Any, words: Iterable[str], compose: Callable[[list[str]], Any]
) -> list[str]:
    """The words, `~head.neck`, that take such settings out of a composition of `words`."""
    words = list(words)
    if not any(word.startswith("experiment=") for word in words):
        return []
    found = (_of_other(part, composed, words, compose) for part in PARTS)
    return [word for left_out in found for word in left_out]


def _of_other(
    part: str, composed: Any, words: list[str], compose: Callable[[list[str]], Any]
) -> list[str]:
    keys = [word.partition("=")[0] for word in words]
    if part not in keys:
        return []
    own_words = {key.lstrip("+~").removeprefix(f"{part}.") for key in keys}
    foreign = _not_taken(composed, part) - own_words
    if not foreign:
        return []
    others = [word for word, key in zip(words, keys, strict=True) if not _is_of(part, key)]
    own = compose(others)
    meant = _settings(own, part) - _not_taken(own, part)  # a slip of the experiment's stays a fault
    return [f"~{part}.{key}" for key in sorted(foreign & meant)]


def _is_of(part: str, key: str) -> bool:
    return key.lstrip("+~").partition(".")[0].partition("/")[0] == part


def _settings(composed: Any, part: str) -> set[str]:
    from omegaconf import DictConfig

    node = composed.get(part)
    return {str(key) for key in node} - {*CONTROL_KEYS} if isinstance(node, DictConfig) else set()


def _not_taken(composed: Any, part: str) -> set[str]:
    """The settings that the part's class does not take; none where that cannot be known."""
    settings = _settings(composed, part)
    target = composed[part].get("_target_") if settings else None
    takes = declared(target) if isinstance(target, str) else None
    return set() if takes is None or takes.takes_any else settings - takes.parameters.keys()
