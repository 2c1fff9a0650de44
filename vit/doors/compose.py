"""Hydra's part of the story: from command-line words to one resolved, plain config per run.

Every fault of the words and of the config they compose is collected before it is raised, so that
one look mends them all.
"""

from __future__ import annotations

import argparse
import itertools
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused, did_you_mean
from vit.runs.identity import config_hash

HYDRA_SHOWS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc")


@dataclass
class Composed:
    """One run to be: its frozen config and its folder."""

    config: dict[str, Any]
    run_dir: Path
    overrides: list[str]


def config_folder() -> Path:
    """Where the shipped configs lie: inside an installed wheel, or beside the package."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def add_compose_arguments(parser: argparse.ArgumentParser) -> None:
    """Hydra's own words for choosing configs, under Hydra's own names."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides")
    parser.add_argument("--config-name", "-cn", default="train", help="the primary config")
    parser.add_argument("--config-dir", "-cd", help="a further folder of configs")
    parser.add_argument("--multirun", "-m", action="store_true", help="one run for each point")


def choices() -> str:
    """Every config group with its options, for a door's help."""
    shipped = config_folder()
    lines = ["choices, one of each group:"]
    for folder in sorted(path for path in shipped.rglob("*") if path.is_dir()):
        options = sorted(path.stem for path in folder.glob("*.yaml"))
        name = folder.relative_to(shipped).as_posix()
        told = textwrap.wrap(f"{name}={', '.join(options)}", 96, subsequent_indent="      ")
        lines += [f"  {line}" for line in told]
    return "\n".join(lines)


def compose(argv: list[str]) -> dict[str, Any]:
    """The resolved config of one run, from its overrides. Raises Refused with every fault."""
    parser = argparse.ArgumentParser(add_help=False)
    add_compose_arguments(parser)
    return compose_runs(parser.parse_args(argv))[0].config


def compose_runs(arguments: argparse.Namespace) -> list[Composed]:
    """One Composed per point of the sweep (one point without `-m`)."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    with _hydra(arguments.config_dir, arguments.config_name) as search_words:
        parser = OverridesParser.create()
        parsed, faults = [], []
        for word in arguments.overrides:
            try:
                parsed.append(parser.parse_override(word))
            except HydraException as error:
                faults.append(Fault(word, f"not Hydra's override grammar: {_first_line(error)}"))
        if faults:
            raise Refused(faults)
        sweeping = [item for item in parsed if item.is_sweep_override()]
        if sweeping and not arguments.multirun:
            raise Refused(
                [
                    Fault(str(item.input_line), "several values need -m (one run for each)")
                    for item in sweeping
                ]
            )
        for item in sweeping:
            if not item.is_discrete_sweep():
                faults.append(
                    Fault(str(item.input_line), "a range to search in; wanted a list of values")
                )
        if faults:
            raise Refused(faults)
        points = list(itertools.product(*(list(_words(item)) for item in parsed)))
        runs = []
        for number, point in enumerate(points):
            words = [word for word in point if word]
            runs.append(_compose_one(arguments.config_name, [*words, *search_words], words))
            if arguments.multirun:
                runs[-1].run_dir = _sweep_folder(arguments, number, words, search_words)
        return runs


def _words(override: Any) -> Iterator[str]:
    if not override.is_sweep_override():
        yield override.input_line
        return
    for value in override.sweep_string_iterator():
        yield f"{override.get_key_element()}={value}"


@contextmanager
def _hydra(config_dir: str | None, config_name: str) -> Iterator[list[str]]:
    """Hydra with the shipped configs, the user's `./conf`, and `--config-dir`."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    shipped = config_folder()
    folders = [shipped]
    own = Path.cwd() / "conf"
    if own.is_dir() and own.resolve() != shipped.resolve():
        folders.append(own)
    if config_dir is not None:
        chosen = Path(config_dir).absolute()
        if not chosen.is_dir():
            raise Refused([Fault("--config-dir", f"no folder {config_dir!r}")])
        folders.insert(1, chosen)
    primary = next((f for f in folders if (f / f"{config_name}.yaml").is_file()), None)
    if primary is None:
        known = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
        raise Refused(
            [
                Fault(
                    "--config-name",
                    f"no {config_name}.yaml in {', '.join(map(str, folders))}; "
                    f"there is {', '.join(known)}.{did_you_mean(config_name, known)}",
                )
            ]
        )
    others = [f"file://{folder}" for folder in folders if folder != primary]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(primary), job_name="vit", version_base="1.3"):
        yield [f"hydra.searchpath=[{','.join(others)}]"] if others else []
    GlobalHydra.instance().clear()


def _compose_one(config_name: str, words: list[str], shown: list[str]) -> Composed:
    from hydra import compose as hydra_compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    try:
        composed = hydra_compose(config_name, words, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise Refused(_composition_faults(config_name, words, shown, error)) from error
    HydraConfig.instance().set_config(composed)  # so that ${hydra:…} resolves
    with open_dict(composed):
        job = composed.copy()
        del job["hydra"]
    faults = _unresolved(job)
    if faults:
        raise Refused(faults)
    config = OmegaConf.to_container(job, resolve=True)
    assert isinstance(config, dict)
    frozen = _frozen({str(key): value for key, value in config.items()})
    if not frozen.get("name"):
        choice = composed.hydra.runtime.choices.get("experiment") or "run"
        frozen["name"] = f"{Path(str(choice)).name}-{config_hash(frozen)[:8]}"
    with open_dict(composed):
        composed.name = frozen["name"]
    return Composed(frozen, Path(str(composed.hydra.run.dir)), shown)


def _frozen(config: dict[str, Any]) -> dict[str, Any]:
    """What the machine decides is written down: threads change the order of sums."""
    if config.get("threads") is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        config["threads"] = max(1, min(cores or 1, 16))
    return config


def _sweep_folder(
    arguments: argparse.Namespace, number: int, words: list[str], search_words: list[str]
) -> Path:
    from hydra import compose as hydra_compose
    from omegaconf import open_dict

    composed = hydra_compose(
        arguments.config_name, [*words, *search_words], return_hydra_config=True
    )
    with open_dict(composed):
        composed.hydra.job.num = number
        composed.hydra.job.override_dirname = ",".join(words)
    return Path(str(composed.hydra.sweep.dir)) / str(composed.hydra.sweep.subdir)


def _composition_faults(
    config_name: str, words: list[str], shown: list[str], error: Exception
) -> list[Fault]:
    """Ask again word by word, so that two misspellings are told together."""
    from hydra import compose as hydra_compose
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.object_type import ObjectType
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    loader = GlobalHydra.instance().config_loader()
    groups, values, always = [], [], [word for word in words if word not in shown]
    for word in shown:
        key = word.split("=")[0].lstrip("+~").split("@")[0]
        options = loader.get_group_options(key, ObjectType.CONFIG)
        subgroups = loader.get_group_options(key, ObjectType.GROUP)
        (groups if options or subgroups else values).append(word)
    faults: list[Fault] = []
    sound: list[str] = []
    for word in groups:
        try:
            hydra_compose(config_name, [*always, *sound, word])
            sound.append(word)
        except (HydraException, OmegaConfBaseException) as problem:
            key, _, value = word.partition("=")
            options = loader.get_group_options(key.lstrip("+~").split("@")[0], ObjectType.CONFIG)
            if value in options:
                faults.append(Fault(word, _first_line(problem)))
            else:
                faults.append(
                    Fault(
                        word,
                        f"no such choice; there is {', '.join(options)}."
                        f"{did_you_mean(value, options)}",
                    )
                )
    try:
        base = hydra_compose(config_name, [*always, *sound])
    except (HydraException, OmegaConfBaseException) as problem:
        return faults or [Fault("config", _first_line(problem))]
    for word in values:
        try:
            hydra_compose(config_name, [*always, *sound, word])
        except (HydraException, OmegaConfBaseException) as problem:
            faults.append(_value_fault(word, base, problem))
    return faults or [Fault("config", _first_line(error))]


def _value_fault(word: str, base: Any, problem: Exception) -> Fault:
    from omegaconf import DictConfig, OmegaConf

    key = word.split("=")[0].lstrip("+~")
    node, above = base, ""
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return Fault(key, f"{above!r} holds a value, so it has no {part!r}")
        if part not in node:
            known = [str(name) for name in node]
            if len(key.split(".")) == 1:
                known += [f"{group}.{name}" for group in node for name in _keys(node, group)]
            guess = did_you_mean(part, known) or did_you_mean(key, _dotted(base))
            place = f"under {above!r}" if above else "at the top"
            return Fault(key, f"no such key {place}.{guess}")
        above = f"{above}.{part}" if above else part
        node = OmegaConf.select(node, part, throw_on_missing=False)
    return Fault(word, _first_line(problem))


def _keys(node: Any, group: Any) -> list[str]:
    from omegaconf import DictConfig

    return [str(name) for name in node[group]] if isinstance(node[group], DictConfig) else []


def _dotted(node: Any, above: str = "") -> list[str]:
    from omegaconf import DictConfig

    found = []
    for key in node:
        path = f"{above}{key}"
        found.append(path)
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            found += _dotted(child, path + ".")
    return found


def _unresolved(node: Any, above: str = "") -> list[Fault]:
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
            faults.append(Fault(path, f"does not resolve: {_first_line(error)}"))
            continue
        if isinstance(value, DictConfig | ListConfig):
            faults += _unresolved(value, path + ".")
    return faults


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
