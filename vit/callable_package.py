"""Packages that can be called: `vit.runs("folder")` and `vit.check("experiment=digits")`.

Importing `vit.runs.directory` makes `vit.runs` the package, whatever that name stood for before; so
a function of the same name can only be the package itself.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package whose call is that of the function `called`, "module:name", imported only then."""

    called: str

    def __call__(self, *arguments: Any, **keys: Any) -> Any:
        module, _, name = self.called.partition(":")
        return getattr(import_module(module), name)(*arguments, **keys)


def make_callable(package: str, called: str) -> None:
    """`called` is text: a room below must not import one above it."""
    module = sys.modules[package]
    module.__class__ = CallablePackage
    module.called = called  # type: ignore[attr-defined]
