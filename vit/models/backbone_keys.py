"""What backbones check of their keys, and how they build the parts that these name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Part = TypeVar("Part")


def require_all(*checks: Callable[[], object]) -> None:
    """Makes every check, and raises one ValueError that names all that failed."""
    messages = []
    for check in checks:
        try:
            check()
        except ValueError as error:
            messages.append(str(error))
    if messages:
        raise ValueError(" Also: ".join(messages))


def check_rate(name: str, rate: float) -> None:
    if not 0.0 <= rate < 1.0:
        raise ValueError(
            f"{name} is {rate}; it must be at least 0 and less than 1. Change backbone.{name}."
        )


def check_count(name: str, count: int, most: int) -> None:
    if not 0 <= count <= most:
        raise ValueError(
            f"{name} is {count}; there are {most} tokens before the patches (class_token, "
            f"registers). Change backbone.{name}."
        )


def build_part(key: str, part: Callable[..., Part], **given: object) -> Part:
    """Calls a part with what the backbone decides, which a config must not decide once more."""
    twice = sorted(set(getattr(part, "keywords", ())) & set(given))
    if twice:
        raise ValueError(
            f"backbone.{key}.{twice[0]} is decided by the backbone, for all its blocks alike. "
            f"Remove it, and set the backbone's own key (backbone.dropout, backbone.qkv_bias, …)."
        )
    return part(**given)
