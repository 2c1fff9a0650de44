"""What is wrong with the words that Hydra could not compose, each with the nearest right one."""

from __future__ import annotations

from typing import Any

from vit.build import CONTROL_KEYS
from vit.cli.choices import hydra_composed, unmatched
from vit.cli.config_groups import Groups
from vit.cli.declared import Parameter, declared
from vit.faults import Fault, did_you_mean


def composition_errors() -> tuple[type[Exception], ...]:
    """What Hydra raises of words and files that do not compose, its own slips among them.

    A list of numbers for a config group ends in a TypeError of its, a deep value in RecursionError.
    """
    import yaml
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    own = (HydraException, OmegaConfBaseException, yaml.YAMLError)
    return (*own, ValueError, TypeError, AttributeError, RecursionError, OSError)


def composition_faults(
    config_name: str,
    words: list[str],
    shown: list[str],
    error: Exception,
    known: Groups | None = None,
) -> tuple[list[Fault], list[str]]:
    """The faults, and the words that are sound.

    Asks again word by word, so that two misspellings are reported together.
    """
    from hydra.core.object_type import ObjectType

    always = [word for word in words if word not in shown]
    errors = composition_errors()
    loader = Groups(always) if known is None else known
    groups: list[str] = []
    values: list[str] = []
    for word in shown:
        key = word.split("=")[0].lstrip("+~").split("@")[0]
        options = loader.get_group_options(key, ObjectType.CONFIG)
        subgroups = loader.get_group_options(key, ObjectType.GROUP)
        is_group = options or subgroups or loader.is_folder(key)
        (groups if is_group else values).append(word)
    faults: list[Fault] = []
    sound: list[str] = []
    for word in groups:
        try:
            hydra_composed(config_name, [*always, *sound, word])
            sound.append(word)
        except errors as problem:
            key, _, value = word.partition("=")
            options = loader.get_group_options(key.lstrip("+~").split("@")[0], ObjectType.CONFIG)
            if (group := unmatched(problem)) is not None:
                faults.append(Fault(word, _nothing_to_choose(group, loader)))
            elif value in options:
                faults.append(Fault(word, first_line(problem)))
            else:
                faults.append(
                    Fault(
                        word,
                        f"no such choice; there is {', '.join(options)}."
                        f"{did_you_mean(value, options)}",
                    )
                )
    try:
        base = hydra_composed(config_name, [*always, *sound])
    except errors as problem:
        return faults or [Fault("config", first_line(problem))], []
    for word in values:
        try:
            hydra_composed(config_name, [*always, *sound, word])
            sound.append(word)
        except errors as problem:
            faults.append(_value_fault(word, base, problem))
    return faults or [Fault("config", first_line(error))], sound if faults else []


def _value_fault(word: str, base: Any, problem: Exception) -> Fault:
    from omegaconf import DictConfig, OmegaConf

    key = word.split("=")[0].lstrip("+~")
    node, above = base, ""
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return Fault(key, f"{above!r} holds a value, so it has no {part!r}")
        if part not in node:
            found = declared(str(node.get("_target_"))) if "_target_" in node else None
            taken = {} if found is None else found.settings()
            if found is not None and part in taken:
                return Fault(
                    key,
                    f"stands in no file of conf; {found.target} takes {_as_taken(taken[part])}, "
                    f"and it is added with a plus: +{word}",
                )
            known = [str(name) for name in node if name not in CONTROL_KEYS]
            guess = did_you_mean(part, [*known, *taken])
            if guess and not did_you_mean(part, known):  # one that no file sets
                guess = did_you_mean(f"+{key}", [f"+{above}.{name}" for name in taken])
            others = [each for each in _dotted(base) if not key.startswith(f"{each}.")]
            guess = guess or did_you_mean(key, others)
            place = f"under {above!r}" if above else "at the top"
            if not guess and found is not None:
                all_of_it = dict.fromkeys([*known, *taken])
                guess = f" {found.target} takes {', '.join(all_of_it) or 'nothing'}."
            elif not guess and "_target_" in node:
                guess = f" If its class takes it, though no file sets it: +{key}=…"
            return Fault(key, f"no such key {place}.{guess}")
        above = f"{above}.{part}" if above else part
        node = OmegaConf.select(node, part, throw_on_missing=False)
    return Fault(word, first_line(problem))


def _as_taken(parameter: Parameter) -> str:
    """`start (normal | glorot, 'normal' by default)`."""
    default = "" if parameter.default is None else f", {parameter.default} by default"
    return f"{parameter.name} ({parameter.type}{default})"


def _nothing_to_choose(group: str, groups: Groups) -> str:
    above = group.rpartition("/")[0]
    having = " or ".join(f"{above}={option}" for option in groups.having(group))
    message = f"no part of this config has a choice of {group}"
    return f"{message}; {having} has" if having else message


def _dotted(node: Any, above: str = "") -> list[str]:
    from omegaconf import DictConfig

    found = []
    for key in node:
        if key in CONTROL_KEYS:
            continue
        path = f"{above}{key}"
        found.append(path)
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            found += _dotted(child, path + ".")
    return found


def unresolved(node: Any, above: str = "") -> list[Fault]:
    """Values that must be given, and interpolations that lead nowhere."""
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    faults = []
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        path = f"{above}{key}"
        if OmegaConf.is_missing(node, key):
            faults.append(Fault(path, f"must be given: {path}=…"))
            continue
        try:
            value = node[key]
        except OmegaConfBaseException as error:
            faults.append(Fault(path, f"does not resolve: {first_line(error)}"))
            continue
        if isinstance(value, DictConfig | ListConfig):
            faults += unresolved(value, path + ".")
    return faults


def first_line(error: BaseException) -> str:
    if (mark := getattr(error, "problem_mark", None)) is not None:  # no YAML: say where
        return f"{mark.name}, line {mark.line + 1}: {getattr(error, 'problem', error)}"
    if isinstance(error, RecursionError):
        return "is nested too deeply, or takes in file after file without end"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
