"""Python's arguments as the words of a command."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from vit.cli.quoting import quoted
from vit.faults import Fault, Refused


def words_of(words: tuple[Any, ...], keys: Mapping[str, Any]) -> list[str]:
    """`("experiment=digits",), {"seed": 1}` → `["experiment=digits", "seed=1"]`.

    Words are taken as they are on the command line; values of `keys` are Python's: None, True,
    numbers, paths, lists, and dicts, whose keys stand for one level of the config each
    (`backbone={"depth": 6}` is `backbone.depth=6`), so that nothing need be quoted.
    Raises Refused where one of `words` is no text, or a value has no form in a config.
    """
    faults = [
        Fault(repr(word), "is no word of a command; wanted text such as 'experiment=digits'")
        for word in words
        if not isinstance(word, str)
    ]
    if faults:
        raise Refused(faults)
    return [*words, *(word for key, value in keys.items() for word in _assigned(key, value))]


def _assigned(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [word for name, inner in value.items() for word in _assigned(f"{key}.{name}", inner)]
    return [f"{key}={_written(key, value)}"]


def _written(key: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value))  # of NumPy's, too, whose own says more
    if isinstance(value, PathLike):
        return quoted(fspath(value))
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(key, each) for each in value)}]"
    if isinstance(value, Mapping):
        inner = (f"{name}:{_written(key, each)}" for name, each in value.items())
        return f"{{{','.join(inner)}}}"
    if hasattr(value, "tolist"):  # of NumPy or torch: a number, or a list of them
        return _written(key, value.tolist())
    message = f"is a {type(value).__name__}; wanted text, a number, a path, a list, a dict or None"
    raise Refused([Fault(key, message)])
