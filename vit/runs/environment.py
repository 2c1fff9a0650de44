"""Values from environment variables: used as values, written down by name.

A config says `${oc.env:NAME}`; a run's files, its tracker and its log keep that text, and each
start looks the value up again. What a run is (vit/runs/identity.py) is counted with the value,
since a number may depend on it: so nobody's run has another name than before, and another value
of the variable is another run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vit.faults import Fault, Refused

VARIABLE = re.compile(r"\$\{oc\.env:([A-Za-z_]\w*)(?:,([^${}]*))?\}")
GRANTED = "VIT_TRACKING_VARIABLES"
PUBLIC = ("WANDB_MODE",)  # a word of W&B's own; the run keeps the mode that it was begun with
OURS = "VIT_"
# Which vit/runs/tracking.py sets for each run.
OF_THE_RUN = tuple(f"WANDB_{name}" for name in ("DIR", "DATA_DIR", "CACHE_DIR", "ARTIFACT_DIR"))
SHORTEST = 6  # letters of a value that is looked for in other words


class FromEnvironment(str):
    """A value together with the text that names where it is from."""

    named: str

    def __new__(cls, value: str, named: str) -> FromEnvironment:
        value_with_name = super().__new__(cls, value)
        value_with_name.named = named
        return value_with_name

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.named


def by_name(node: object) -> Any:
    """The same config with names in place of values: as it is written down."""
    if isinstance(node, FromEnvironment):
        return node.named
    if isinstance(node, dict):
        return {key: by_name(value) for key, value in node.items()}
    return [by_name(value) for value in node] if isinstance(node, list) else node


def with_values(node: object) -> Any:
    """The reverse. Raises Refused that names each variable that is not set."""
    faults: list[Fault] = []
    resolved = _with_values(node, "", faults)
    if faults:
        raise Refused(faults)
    return resolved


def named(resolved: Any, raw: Any) -> Any:
    """A resolved config whose words from the environment know their names, by its `raw` text.

    Only text: numbers that are decoded from a variable are kept as numbers. The run's own name
    stays as it is, since its folder shows it.
    """
    variables = {name for name in _variables(raw) if name not in PUBLIC and os.environ.get(name)}
    if not variables:
        return resolved
    values = sorted(((os.environ[name], name) for name in variables), key=lambda one: -len(one[0]))
    whole = _named(resolved, raw, values, False)
    return {**whole, "name": resolved["name"]} if "name" in resolved else whole


def for_the_tracker(written: object) -> Any:
    """`tracking` as a run's file has it, with those values that the user's own command asked for.

    A tracker sends away what it is given, and the file may be a stranger's: all other variables
    stay the text that names them. VIT_TRACKING_VARIABLES tells which may be looked up.
    """
    granted = {*PUBLIC, *os.environ.get(GRANTED, "").split(",")}
    if isinstance(written, dict):
        return {key: for_the_tracker(value) for key, value in written.items()}
    if isinstance(written, list):
        return [for_the_tracker(value) for value in written]
    return with_values(written) if granted.issuperset(_variables(written)) else written


def granted_by(tracking: object) -> dict[str, str]:
    """For the environment of a training whose `tracking` the user's own command has composed."""
    names = ",".join(dict.fromkeys(_variables(by_name(tracking))))
    return {GRANTED: names} if names else {}


def handed_on(config: Mapping[str, Any], *, written: bool = False) -> dict[str, str]:
    """What of this process's environment a trial's own process needs, wherever it is started.

    The variables of vit itself, those that the trial's config names, and W&B's where it is tracked
    online. With `written` only vit's: what stands in a file must hold nobody's key.
    """
    names = [name for name in os.environ if name.startswith(OURS)]
    if not written:
        names += _variables(by_name(config))
        if dict(config.get("tracking") or {}).get("mode") == "online":
            names += [name for name in os.environ if name.startswith("WANDB_")]
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {name: value for name, value in kept.items() if name not in OF_THE_RUN}


@contextmanager
def set_for_a_while(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def hidden(node: object) -> dict[str, str]:
    """Value → its name, of all values from the environment that are long enough to look for."""
    if isinstance(node, FromEnvironment):
        return {str(node): node.named} if len(node) >= SHORTEST else {}
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return {value: name for child in children for value, name in hidden(child).items()}


def with_names(node: object, values: dict[str, str]) -> Any:
    """What was found out with a config, paths of the data say, with `hidden` values by name."""
    if isinstance(node, dict):
        return {key: with_names(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [with_names(value, values) for value in node]
    if isinstance(node, str):
        for value, name in values.items():
            node = node.replace(value, name)
    return node


def _with_values(node: object, where: str, faults: list[Fault]) -> Any:
    if isinstance(node, dict):
        return {key: _with_values(value, f"{where}.{key}", faults) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_values(value, f"{where}.{at}", faults) for at, value in enumerate(node)]
    if not isinstance(node, str) or "${oc.env:" not in node:
        return node

    def value_of(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name not in os.environ and default is None:
            message = f"is {node}, and the environment variable {name} is not set"
            faults.append(Fault(where.lstrip("."), message))
            return ""
        return os.environ.get(name, (default or "").strip().strip("'\""))

    return FromEnvironment(VARIABLE.sub(value_of, node), node)


def _named(resolved: Any, raw: Any, values: list[tuple[str, str]], referred: bool) -> Any:
    """`referred`: the raw text of these words is elsewhere in the config, behind a reference."""
    if isinstance(resolved, dict):
        known = raw if isinstance(raw, dict) else {}
        inside = referred or not isinstance(raw, dict)
        return {
            key: _named(value, known.get(key), values, inside) for key, value in resolved.items()
        }
    if isinstance(resolved, list):
        if isinstance(raw, list) and len(raw) == len(resolved):
            pairs = zip(resolved, raw, strict=True)
            return [_named(value, text, values, referred) for value, text in pairs]
        return [_named(value, None, values, True) for value in resolved]
    is_text = isinstance(resolved, str) and (referred or (isinstance(raw, str) and "${" in raw))
    if not is_text:
        return resolved
    own = set(_variables(raw))
    text = raw if own and not VARIABLE.sub("", raw).count("${") else None
    if text is None:
        text = resolved
        for value, name in values:
            if name in own or len(value) >= SHORTEST:
                text = text.replace(value, f"${{oc.env:{name}}}")
    if (own <= set(PUBLIC) and own) or "${oc.env:" not in text:
        return resolved
    try:
        return FromEnvironment(resolved, text) if with_values(text) == resolved else resolved
    except Refused:
        return resolved


def _variables(raw: object) -> list[str]:
    if isinstance(raw, dict | list):
        children = raw.values() if isinstance(raw, dict) else raw
        return [name for child in children for name in _variables(child)]
    return re.findall(r"oc\.env:([A-Za-z_]\w*)", raw) if isinstance(raw, str) else []
