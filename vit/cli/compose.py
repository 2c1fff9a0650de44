"""Hydra's part of the story: from command-line words to one resolved, plain config per run.

Every fault of the words and of the config they compose is collected before it is raised, so that
one look mends them all.
"""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vit.cli.choices import hydra_composed, words_added
from vit.cli.config_circles import circle_fault
from vit.cli.config_files import bomb_faults, reference_faults
from vit.cli.config_groups import Groups
from vit.cli.grammar import is_value, read_words
from vit.cli.override_errors import composition_errors, composition_faults
from vit.cli.quoting import in_quotes
from vit.cli.resolve import resolved
from vit.cli.task_recipe import DECIDING
from vit.faults import Fault, Refused, did_you_mean
from vit.runs.composed import Composed
from vit.runs.trust import trusted
from vit.sweeps.words import Words, grid, sweep_name

HYDRA_SHOWS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc")
DETERMINISTIC = "--deterministic"
# One whole text in the quotes of Hydra's grammar.
IN_QUOTES = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


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
    """The words with the short ones as the overrides that they stand for.

    A note is text as it stands: in Hydra's grammar a comma would make it several values, a bracket
    or a colon a fault, and `${…}` the value of another key or of a variable.
    """
    return [_written_out(word) for word in argv]


def _written_out(word: str) -> str:
    if word == DETERMINISTIC:
        return "trainer.deterministic=true"
    key, _, text = word.partition("=")
    plain = key in ("note", "+note", "++note") and text not in ("", "null")
    if not plain or IN_QUOTES.fullmatch(text):
        return word
    as_it_stands = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no interpolation, nor half of one
    return f"{key}={in_quotes(as_it_stands)}"


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
    packages = trusted([*allow_targets, *packages_named(arguments.overrides)])
    with _hydra(arguments.config_dir, arguments.config_name) as (search_words, folders):
        yield Composer(arguments.config_name, search_words, packages, folders)


def packages_named(overrides: list[str]) -> list[str]:
    """The names in the words `allow_targets=[…]` of a command; a word to be resolved names none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    names: list[str] = []
    for word in overrides:
        if word.lstrip("+").startswith("allow_targets="):
            with suppress(HydraException):  # a fault beside those of the other words
                value = OverridesParser.create().parse_override(word).value()
                names += [str(name) for name in value] if isinstance(value, list) else []
    return names


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
            with suppress(OmegaConfBaseException):  # a fault, which Hydra's own way words better
                composed = self._set_upon_a_base(words)
        composed = self.composed(words) if composed is None else composed
        return resolved(composed, words, number, sweep_name, threads, self._trusted)

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
        kinds |= {word: False for word, item in parsed if item.key_or_group in DECIDING}
        values = [item for word, item in parsed if kinds[word]]
        files = tuple(word for word, _ in parsed if not kinds[word])
        if files not in self._bases:
            self._bases[files] = self.composed(list(files))
        composed = copy.deepcopy(self._bases[files])
        for item in values:
            OmegaConf.update(composed, item.key_or_group, item.value(), merge=True)
        return composed

    def added(self, words: list[str]) -> list[str]:
        """The words by which Hydra alone composes the same of these."""
        return words_added(self._config_name, [*words, *self._search_words])

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
            if endless and (circle := circle_fault(self._folders, self._config_name, words)):
                raise Refused([circle]) from error
            faults, sound = composition_faults(self._config_name, every, words, error, self.groups)
            rest = None
            if 0 < len(sound) < len(words):
                with suppress(Refused):
                    composed = self.composed(sound)
                    rest = resolved(composed, sound, None, trusted=self._trusted).config
            raise Refused(faults, rest) from error
