"""Whose code may run: packages beside the usual ones, named by whoever gives the command.

A config file names them too, so that one knows what a run is made of, but its word is not enough:
whoever wrote the file would be asked whether to trust whoever wrote the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from vit.faults import Fault, Refused

VARIABLE = "VIT_ALLOW_TARGETS"


def from_environment() -> tuple[str, ...]:
    """The packages that the user trusts in every command, separated by commas."""
    names = (name.strip() for name in os.environ.get(VARIABLE, "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def trusted(given: Iterable[str] = ()) -> tuple[str, ...]:
    """The packages named in this command, and those of the environment.

    Raises Refused where they are no list: of a text each letter would be taken for a package.
    """
    if faults := package_faults(given):
        raise Refused(faults)
    return tuple(dict.fromkeys([*given, *from_environment()]))


def package_faults(given: object) -> list[Fault]:
    """What is wrong with a list of packages that somebody gives in Python."""
    if isinstance(given, str):
        message = f"is the text {given!r}; wanted a list of packages: allow_targets=[{given!r}]"
        return [Fault("allow_targets", message)]
    if not isinstance(given, list | tuple | set | frozenset | Iterator):
        return [Fault("allow_targets", f"is {given!r}; wanted a list of packages, or nothing")]
    if isinstance(given, Iterator):
        return []  # can be read once
    unusable = [name for name in given if not isinstance(name, str) or not name.strip()]
    return (
        [Fault("allow_targets", f"holds {unusable[0]!r}; wanted names of packages")]
        if unusable
        else []
    )


def untrusted_packages(
    named: object, given: Iterable[str], word: Callable[[list[str]], str]
) -> list[Fault]:
    """A fault where a file names packages that the caller has not.

    `named` is the file's `allow_targets`; `word` says how the command names them.
    """
    if named is not None and not isinstance(named, list):
        return [Fault("allow_targets", f"is {named!r}; wanted a list of packages")]
    allowed = trusted(given)
    missing = [name for name in dict.fromkeys(map(str, named or [])) if name not in allowed]
    if not missing:
        return []
    message = (
        f"names {', '.join(missing)}, code from outside, in a file; a file's word is not enough. "
        f"If you trust it, add {word(missing)}; or once for all commands "
        f"{VARIABLE}={','.join(missing)}"
    )
    return [Fault("allow_targets", message)]


def require_trusted(config: Mapping[str, Any], given: Iterable[str]) -> tuple[str, ...]:
    """What a frozen run may use; Refused where it names packages that the caller has not."""
    faults = untrusted_packages(config.get("allow_targets"), given, _in_commands_and_python)
    if faults:
        raise Refused(faults)
    return trusted(given)


def _in_commands_and_python(names: list[str]) -> str:
    words = " ".join(f"--allow-target {name}" for name in names)
    return f"{words} (in Python: allow_targets={names})"


def used(config: object) -> Iterator[str]:
    """Every `_target_` in a config."""
    if isinstance(config, Mapping):
        if isinstance(target := config.get("_target_"), str):
            yield target
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from used(item)


def without_fetching(config: dict[str, Any]) -> dict[str, Any]:
    """The same config with every `download: true` of its data taken as false.

    Whether something is fetched is the word of whoever gives the command, not of a file.
    """
    return {**config, "data": _without_fetching(config.get("data"))}


def _without_fetching(node: object) -> Any:
    if isinstance(node, dict):
        return {
            key: False if key == "download" and value else _without_fetching(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_without_fetching(item) for item in node]
    return node
