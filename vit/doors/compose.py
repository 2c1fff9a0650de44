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

from vit.doors.misspelt import composition_faults, first_line, unresolved
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
                faults.append(Fault(word, f"not Hydra's override grammar: {first_line(error)}"))
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
            run = _compose_one(
                arguments.config_name,
                [*words, *search_words],
                shown=words,
                number=number if arguments.multirun else None,
            )
            runs.append(run)
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
    paths = [str(folder).replace("'", "\\'") for folder in folders if folder != primary]
    others = [f"'file://{path}'" for path in paths]  # quoted: a path may hold any letter
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(primary), job_name="vit", version_base="1.3"):
        yield [f"hydra.searchpath=[{','.join(others)}]"] if others else []
    GlobalHydra.instance().clear()


def _compose_one(
    config_name: str, words: list[str], *, shown: list[str], number: int | None
) -> Composed:
    """`number` is the run's in its sweep, None where there is no sweep."""
    from hydra import compose as hydra_compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict, read_write
    from omegaconf.errors import OmegaConfBaseException

    try:
        composed = hydra_compose(config_name, words, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise Refused(composition_faults(config_name, words, shown, error)) from error
    HydraConfig.instance().set_config(composed)  # so that ${hydra:…} resolves
    with open_dict(composed):
        job = composed.copy()
        del job["hydra"]
    faults = unresolved(job)
    if faults:
        raise Refused(faults)
    config = OmegaConf.to_container(job, resolve=True)
    assert isinstance(config, dict)
    frozen = _frozen({str(key): value for key, value in config.items()})
    if not frozen.get("name"):
        choice = composed.hydra.runtime.choices.get("experiment") or "run"
        frozen["name"] = f"{Path(str(choice)).name}-{config_hash(frozen)[:8]}"
    with read_write(composed.hydra), open_dict(composed):
        composed.name = frozen["name"]
        composed.hydra.job.override_dirname = ",".join(shown)
        if number is not None:
            composed.hydra.job.num = number
    hydra = composed.hydra
    where = "hydra.run.dir" if number is None else "hydra.sweep.dir"
    try:
        alone = number is None
        folder = hydra.run.dir if alone else Path(str(hydra.sweep.dir)) / hydra.sweep.subdir
    except OmegaConfBaseException as error:
        raise Refused([Fault(where, f"does not resolve: {first_line(error)}")]) from error
    return Composed(frozen, Path(str(folder)), shown)


def _frozen(config: dict[str, Any]) -> dict[str, Any]:
    """What the machine decides is written down: threads change the order of sums."""
    if config.get("threads") is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        config["threads"] = max(1, min(cores or 1, 16))
    return config
