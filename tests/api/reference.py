"""The reference of docs/python.md, made of signatures and docstrings.

python tests/api/reference.py     write it anew
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vit

PAGE = Path(__file__).parents[2] / "docs/python.md"
BEGINS = "## Reference\n"
FUNCTIONS = ("train", "sweep", "check", "runs", "report", "load", "fit", "ViT")
CLASSES = ("Run", "Runs", "LoadedRun", "Fitted", "Shown", "ReportPage", "Refused")


def offered(name: str) -> Any:
    """What `vit.NAME` is when it is called."""
    found = getattr(vit, name)
    called = getattr(found, "called", None)  # a package: see vit/callable_package.py
    if called is None:
        return found
    module, _, inside = called.partition(":")
    return getattr(importlib.import_module(module), inside)


def reference() -> str:
    """A section for each name that `import vit` offers."""
    parts = [BEGINS.rstrip()]
    for name in FUNCTIONS:
        parts += [f"### vit.{name}", *_described(f"vit.{name}", offered(name))]
    for name in CLASSES:
        kind = offered(name)
        parts += [f"### vit.{name}", *_paragraphs(kind)]
        for member, value in members(kind):
            parts += _described(f"{name}.{member}", value)
    return "\n\n".join(parts) + "\n"


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties of a class of ours, those of its bases first."""
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__.startswith("vit."):
            found |= {k: v for k, v in vars(owner).items() if not k.startswith("_")}
    for name, value in found.items():
        if isinstance(value, property) or inspect.isfunction(value):
            yield name, value


def _described(name: str, value: Any) -> list[str]:
    return [f"```\n{name}{signature(value)}\n```", *_paragraphs(value)]


def signature(value: Any) -> str:
    """As it would be written, annotations without quotes; of a property its type."""
    if isinstance(value, property):
        own = inspect.signature(value.fget)
        return f" -> {own.return_annotation}"
    own = inspect.signature(value)
    given = [
        each.replace(annotation=_Written(each.annotation))
        for each in own.parameters.values()
        if each.name != "self"
    ]
    return str(own.replace(parameters=given, return_annotation=_Written(own.return_annotation)))


class _Written(str):
    """An annotation that `inspect` shows as it stands in the source."""

    def __repr__(self) -> str:
        return str(self)


def _paragraphs(value: Any) -> list[str]:
    """Those of the docstring, examples as fences of their own."""
    text = inspect.cleandoc(value.__doc__ or "")
    return [
        f"```pycon\n{part}\n```" if part.startswith(">>>") else part
        for part in re.split(r"\n\n+", text)
        if part
    ]


def examples(value: Any) -> Iterator[str]:
    """The lines of code in a docstring."""
    yield from re.findall(r"^\s*>>> (.+)$", value.__doc__ or "", flags=re.M)


if __name__ == "__main__":
    start = PAGE.read_text(encoding="utf-8").partition(BEGINS)[0]
    PAGE.write_text(start + reference(), encoding="utf-8")
