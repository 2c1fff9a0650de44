"""Hydra's part of the story: from command-line words to one resolved, plain config per run.

Every fault of the words and of the config they compose is collected before it is raised, so that
one look mends them all.
"""

from __future__ import annotations

import argparse
import copy
import os
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vit.build import is_own
from vit.cli.choices import hydra_composed
from vit.cli.config_circles import circle_fault
from vit.cli.config_files import bomb_faults, reference_faults
from vit.cli.config_groups import Groups, choosable
from vit.cli.grammar import is_value, read_words
from vit.cli.override_errors import composition_errors, composition_faults, first_line, unresolved
from vit.faults import Fault, Refused, did_you_mean
from vit.runs.composed import Composed
from vit.runs.environment import named
from vit.runs.identity import config_hash
from vit.runs.naming import folder_faults, name_faults
from vit.runs.trust import from_environment, trusted, untrusted_packages, used
from vit.sweeps.words import Words, grid, sweep_name

HYDRA_SHOWS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc")
DETERMINISTIC = "--deterministic"
SUBDIR = "${name}"  # as conf/train.yaml has it: a run's folder is named like the run


def config_folder() -> Path:
    """Where the shipped configs lie: inside an installed wheel, or beside the package."""
    package = Path(__file__).parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def own_configs(folder: Path) -> Path | None:
    """The user's own configs beside a command that is given in `folder`, if there are any."""
    own = folder / "conf"
    return own if own.is_dir() and own.resolve() != config_folder().resolve() else None


def add_compose_arguments(parser: argparse.ArgumentParser) -> None:
    """Hydra's own words for choosing configs, under Hydra's own names."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides")
    parser.add_argument("--config-name", "-cn", default="train", help="the primary config")
    parser.add_argument("--config-dir", "-cd", help="a further folder of configs")
    parser.add_argument("--multirun", "-m", action="store_true", help="one run for each point")
    parser.add_argument(
        DETERMINISTIC, action="store_true", help="short for trainer.deterministic=true"
    )


def written_out(argv: list[str]) -> list[str]:
    """The words with the short ones as the overrides that they stand for."""
    return ["trainer.deterministic=true" if word == DETERMINISTIC else word for word in argv]


def choices() -> str:
    """Every config group with its options, for a command's help."""
    shipped = config_folder()
    lines = ["choices, one of each group (vit keys GROUP tells the keys of one):"]
    for folder in sorted(path for path in shipped.rglob("*") if path.is_dir()):
        name = folder.relative_to(shipped).as_posix()
        if options := choosable([shipped], name, (path.stem for path in folder.glob("*.yaml"))):
            told = textwrap.wrap(f"{name}={', '.join(options)}", 96, subsequent_indent="      ")
            lines += [f"  {line}" for line in told]
    return "\n".join(lines)


def compose(argv: list[str], allow_targets: Iterable[str] = ()) -> dict[str, Any]:
    """The resolved config of one run, from its overrides. Raises Refused with every fault.

    `allow_targets` are packages that the caller trusts, besides those that `argv` names.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_compose_arguments(parser)
    return compose_runs(parser.parse_args(argv), allow_targets)[0].config


def compose_runs(
    arguments: argparse.Namespace, allow_targets: Iterable[str] = ()
) -> list[Composed]:
    """One Composed per point of the grid (one point without `-m`)."""
    with composer(arguments, allow_targets) as compose_one:
        words = _words(arguments.overrides, compose_one)
        several = [*words.axes, *words.ranges]
        if several and not arguments.multirun:
            message = "several values need -m (one run for each)"
            faults = [Fault(key, message) for key in several]
            raise Refused(faults, _config(words.fixed, compose_one))
        if words.ranges:
            message = "a range to search in; wanted a list of values"
            raise Refused([Fault(key, message) for key in words.ranges])
        if not arguments.multirun:
            return [compose_one(words.fixed)]
        name = sweep_name(words, compose_one(words.fixed, 0).experiment)
        return [
            compose_one(point, number, sweep_name=name) for number, point in enumerate(grid(words))
        ]


def _words(overrides: list[str], compose_one: Composer) -> Words:
    """The words, sorted; what is no grammar is refused beside the faults of all the others."""
    try:
        return read_words(overrides, compose_one.groups)
    except Refused as refused:
        wrong = {fault.where for fault in refused.faults}
        left = [word for word in overrides if not {word, word.partition("=")[0]} & wrong]
        rest = None
        with suppress(Refused):
            rest = _config(read_words(left, compose_one.groups).fixed, compose_one)
        raise Refused(refused.faults, rest) from None


def _config(words: list[str], compose_one: Composer) -> dict[str, Any] | None:
    """What these words compose, to be checked further; None where they have faults of their own."""
    with suppress(Refused):
        return compose_one(words).config
    return None


@contextmanager
def composer(
    arguments: argparse.Namespace, allow_targets: Iterable[str] = ()
) -> Iterator[Composer]:
    """Hydra, opened for as long as runs are composed from these arguments.

    Code from outside is allowed by the arguments' own words and `allow_targets`, not by files.
    """
    told = trusted([*allow_targets, *packages_named(arguments.overrides)])
    with _hydra(arguments.config_dir, arguments.config_name) as (search_words, folders):
        yield Composer(arguments.config_name, search_words, told, folders)


def packages_named(overrides: list[str]) -> list[str]:
    """The names in the words `allow_targets=[…]` of a command; a word to be resolved names none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    found: list[str] = []
    for word in overrides:
        if word.lstrip("+").startswith("allow_targets="):
            with suppress(HydraException):  # told with the other words
                value = OverridesParser.create().parse_override(word).value()
                found += [str(name) for name in value] if isinstance(value, list) else []
    return found


@contextmanager
def _hydra(config_dir: str | None, config_name: str) -> Iterator[tuple[list[str], list[Path]]]:
    """Hydra with the shipped configs, the user's `./conf`, and `--config-dir`: words, folders."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    if config_dir is not None and not Path(config_dir).is_dir():
        raise Refused([Fault("--config-dir", f"no folder {config_dir!r}")])
    folders = [config_folder(), *_further(config_dir)]
    bombs = [fault for folder in folders[1:] for fault in bomb_faults(folder)]
    if bombs:
        raise Refused(bombs)
    primary = next((f for f in folders if _is_file(f / f"{config_name}.yaml")), None)
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
        words = [f"hydra.searchpath=[{','.join(others)}]"] if others else []
        yield words, [primary, *(folder for folder in folders if folder != primary)]
    GlobalHydra.instance().clear()


def _further(config_dir: str | None) -> list[Path]:
    """The folders of configs beside the shipped ones."""
    own = own_configs(Path.cwd())
    chosen = None if config_dir is None else Path(config_dir).absolute()
    return [folder for folder in (chosen, own) if folder is not None]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


class Composer:
    """From the words of one run to its resolved config.

    Hydra composes once for each choice of files; points that differ in values only are then set
    upon a copy, as Hydra itself sets them, since a hundred compositions take half a minute.
    """

    def __init__(
        self,
        config_name: str,
        search_words: list[str],
        trusted: tuple[str, ...] = (),
        folders: Iterable[Path] = (),
    ):
        self._trusted = trusted
        self._folders = list(folders)
        self._config_name = config_name
        self._search_words = search_words
        self.groups = Groups(search_words, self._folders)
        self._bases: dict[tuple[str, ...], Any] = {}
        self._sets_value: dict[Any, bool] = {}

    def __call__(
        self,
        words: list[str],
        number: int | None = None,
        *,
        sweep_name: str = "sweep",
        threads: int | None = None,
    ) -> Composed:
        """`number` is the run's in its sweep, None where there is none. Raises Refused.

        `sweep_name` counts where `sweep.name` is null, `threads` where `threads` is (None: this
        machine's).
        """
        from omegaconf.errors import OmegaConfBaseException

        composed = None
        if number is not None:
            with suppress(OmegaConfBaseException):  # a fault: Hydra's own way tells it better
                composed = self._set_upon_a_base(words)
        composed = self.composed(words) if composed is None else composed
        return _resolved(composed, words, number, sweep_name, threads, self._trusted)

    def _set_upon_a_base(self, words: list[str]) -> Any:
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from omegaconf import OmegaConf

        parser = OverridesParser.create()
        parsed = [(word, parser.parse_override(word)) for word in words]
        kinds = {}
        for word, item in parsed:
            key = (item.type, item.package, item.key_or_group)
            if key not in self._sets_value:
                self._sets_value[key] = is_value(
                    item, self.groups
                )  # a look through all config files
            kinds[word] = self._sets_value[key]
        values = [item for word, item in parsed if kinds[word]]
        files = tuple(word for word, _ in parsed if not kinds[word])
        if files not in self._bases:
            self._bases[files] = self.composed(list(files))
        composed = copy.deepcopy(self._bases[files])
        for item in values:
            OmegaConf.update(composed, item.key_or_group, item.value(), merge=True)
        return composed

    def composed(self, words: list[str]) -> Any:
        """What Hydra makes of the words, nothing of it resolved. Raises Refused."""
        from omegaconf import OmegaConf

        every = [*words, *self._search_words]
        try:
            composed = hydra_composed(self._config_name, every)
            if grown := reference_faults(OmegaConf.to_container(composed, resolve=False)):  # type: ignore[arg-type]
                raise Refused(grown)
            if bases := self.groups.base_faults(composed.hydra.runtime.choices):
                raise Refused(bases)
            return composed
        except composition_errors() as error:
            endless = isinstance(error, RecursionError)
            if endless and (found := circle_fault(self._folders, self._config_name, words)):
                raise Refused([found]) from error
            faults, sound = composition_faults(self._config_name, every, words, error, self.groups)
            rest = None
            if 0 < len(sound) < len(words):
                with suppress(Refused):
                    composed = self.composed(sound)
                    rest = _resolved(composed, sound, None, trusted=self._trusted).config
            raise Refused(faults, rest) from error


def _resolved(
    composed: Any,
    words: list[str],
    number: int | None,
    sweep_name: str = "",
    threads: int | None = None,
    trusted: tuple[str, ...] = (),
) -> Composed:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf, open_dict, read_write
    from omegaconf.errors import OmegaConfBaseException

    HydraConfig.instance().set_config(composed)  # so that ${hydra:…} resolves
    with open_dict(composed):
        job = composed.copy()
        del job["hydra"]
    faults = unresolved(job)
    if faults:
        raise Refused(faults, _without(job, faults))
    config = OmegaConf.to_container(job, resolve=True)
    assert isinstance(config, dict)
    config = named(config, OmegaConf.to_container(job, resolve=False))
    policy = config.pop("sweep", None)  # how a sweep is run is no part of its runs
    frozen = _frozen({str(key): value for key, value in config.items()}, policy, threads)
    frozen["allow_targets"], faults = _allowed(frozen, policy, trusted)
    if faults:
        raise Refused(faults, frozen)
    hydra = composed.hydra
    choice = Path(str(hydra.runtime.choices.get("experiment") or "run")).name
    own_folder = OmegaConf.to_container(hydra.sweep, resolve=False)["subdir"] != SUBDIR  # type: ignore[index,call-overload]
    own_name: Any = frozen.get("name")
    if isinstance(own_name, str) and (faults := name_faults("name", own_name)):
        raise Refused(faults, frozen)
    if own_name is not None and not isinstance(own_name, str):
        raise Refused([Fault("name", f"is {own_name!r}; wanted text")], frozen)
    if not own_name:
        frozen["name"] = f"{choice}-{config_hash(frozen)[:8]}"
    with read_write(hydra), open_dict(composed):
        composed.name = frozen["name"]
        hydra.job.override_dirname = ",".join(
            word for word in words if not word.lstrip("+~").startswith(("hydra.", "sweep"))
        )
        if number is not None:
            hydra.job.num = number
            if composed.get("sweep") is None:
                raise Refused([Fault("sweep", "is taken away; -m needs one, such as sweep=grid")])
            composed.sweep.name = composed.sweep.get("name") or sweep_name
            if faults := name_faults("sweep.name", str(composed.sweep.name)):
                raise Refused(faults, frozen)
    where = "hydra.run.dir" if number is None else "hydra.sweep.dir"
    sweep_dir = Path()
    try:
        if not str(chosen := hydra.run.dir if number is None else hydra.sweep.dir).strip():
            raise Refused([Fault(where, "is empty; a dot is the current folder")], frozen)
        if number is None:
            folder = Path(str(chosen))
        else:
            sweep_dir = Path(str(chosen))
            folder = sweep_dir / str(hydra.sweep.subdir)
    except OmegaConfBaseException as error:
        raise Refused([Fault(where, f"does not resolve: {first_line(error)}")]) from error
    if faults := folder_faults(where, folder):
        raise Refused(faults, frozen)
    return Composed(frozen, folder, words, policy, choice, own_name, own_folder, sweep_dir)


def _allowed(
    config: dict[str, Any], policy: Any, trusted: tuple[str, ...]
) -> tuple[Any, list[Fault]]:
    """What a run is allowed: what it names and the caller trusts, and what of the latter it uses.

    A fault says of the rest that a file's word is not enough.
    """
    named = config.get("allow_targets")
    faults = untrusted_packages(named, trusted, lambda names: f"allow_targets=[{','.join(names)}]")
    if named is not None and not isinstance(named, list):
        return named, []  # the schema tells it
    targets = [*used(config), *used(policy)]
    silent = [name for name in from_environment() if any(is_own(t, [name]) for t in targets)]
    told = [name for name in named or [] if name in trusted]
    return list(dict.fromkeys([*told, *silent])), faults


def _without(job: Any, faults: list[Fault]) -> dict[str, Any] | None:
    """The config without the values that do not resolve, to be checked further."""
    from omegaconf import OmegaConf, open_dict

    with open_dict(job):
        for fault in faults:
            above, _, key = fault.where.rpartition(".")
            node = OmegaConf.select(job, above) if above else job
            if not OmegaConf.is_dict(node) or key not in node.keys():  # noqa: SIM118 - a missing
                return None  # value is in the keys, and not in the node
            del node[key]
    config: Any = OmegaConf.to_container(job, resolve=True)
    policy = config.pop("sweep", None)
    config["name"] = config.get("name") or "run"  # which only a whole config gets
    return _frozen(config, policy, None)


def _frozen(
    config: dict[str, Any], policy: dict[str, Any] | None, threads: int | None
) -> dict[str, Any]:
    """What the machine decides is written down: threads change the order of sums."""
    if config.get("threads") is None and threads is not None:
        config["threads"] = threads
    if config.get("threads") is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        jobs = (policy or {}).get("jobs")
        share = (cores or 1) // jobs if isinstance(jobs, int) and jobs > 0 else cores or 1
        config["threads"] = max(1, min(share, 16))
    return config
