"""Packages that can be called: `vit.runs("folder")` and `vit.check("experiment=digits")`.

Importing `vit.runs.directory` makes `vit.runs` the package, whatever that name stood for before; so
a function of the same name can only be the package itself.
"""

# Only what is built in: this is imported before the current folder is off the path, and a module of
# the user's there, called `typing` say, must not be taken for Python's own.
import sys


class CallablePackage(type(sys)):  # type: ignore[misc]
    """A package whose call is that of the function `called`, "module:name", imported only then."""

    called: str

    def __call__(self, *arguments: object, **keys: object) -> object:
        from importlib import import_module

        module, _, name = self.called.partition(":")
        return getattr(import_module(module), name)(*arguments, **keys)


def make_callable(package: str, called: str) -> None:
    """`called` is text: a room below must not import one above it."""
    module = sys.modules[package]
    module.__class__ = CallablePackage
    module.called = called  # type: ignore[attr-defined]
