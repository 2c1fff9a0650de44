"""What Hydra shows instead of running: configs, help, plugins, completion, all left as known."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from pathlib import Path

from vit.cli.compose import add_compose_arguments, composer, config_folder, own_configs
from vit.cli.config_groups import is_base
from vit.cli.override_errors import composition_errors, first_line
from vit.faults import Fault, Refused

COMPOSING = ("train", "check", "data", "keys")
FULL_ERROR = "HYDRA_FULL_ERROR"


def show(command: str, words: list[str]) -> int:
    """Hands the words to Hydra itself (`--cfg`, `--info`, `--hydra-help`, `--help`)."""
    import hydra

    if several := [word for word in words if word in ("-m", "--multirun")]:
        message = "shows one config, and -m is for several; leave it out"
        raise Refused([Fault(several[0], message)])
    before, full_before = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv = [f"vit {command}", *_with_more(command, words)]
    os.environ[FULL_ERROR] = "1"  # Hydra then raises, where it would print its own traceback
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")(
            _unreached
        )()
    except composition_errors() as error:
        require_composed(command, words)
        message = f"{first_line(error)}; vit check with the same words says what to change"
        raise Refused([Fault("config", message)]) from error
    finally:
        sys.argv = before
        os.environ.pop(FULL_ERROR)
        if full_before is not None:
            os.environ[FULL_ERROR] = full_before
    return 0


def require_composed(command: str, words: list[str]) -> None:
    """Raises Refused with every fault of the words, as `vit check` has them."""
    arguments = _parsed(command, words)
    with composer(arguments) as compose_one:
        compose_one.composed(arguments.overrides)


def _added(command: str, words: list[str]) -> list[str]:
    """The words by which Hydra composes as the other commands do: of a task's recipe, and of an
    experiment where another head is chosen."""
    choosing = {"task", "experiment"} & {word.partition("=")[0] for word in words}
    arguments = _parsed(command, words)
    if not choosing and arguments.config_name == "train":
        return []  # in most cases, and composing takes time
    with contextlib.suppress(Refused, *composition_errors()), composer(arguments) as compose_one:
        return compose_one.added(arguments.overrides)
    return []


def _parsed(command: str, words: list[str]) -> argparse.Namespace:
    """Those words that are for composing, among Hydra's own."""
    parser = argparse.ArgumentParser(prog=f"vit {command}", add_help=False)
    add_compose_arguments(parser)
    for switch in ("--resolve", "--hydra-help"):  # Hydra's own, and what they take
        parser.add_argument(switch, action="store_true")
    parser.add_argument("--info", "-i", nargs="?")
    parser.add_argument("--cfg", "-c")
    parser.add_argument("--package", "-p")
    return parser.parse_known_args(words)[0]


def _unreached(config: object) -> None:
    raise AssertionError("these words never run a job")


def _with_more(command: str, words: list[str]) -> list[str]:
    """The words with those that Hydra is not told otherwise, all overrides side by side: argparse
    takes them in one place alone."""
    more = _added(command, words)
    own = own_configs(Path.cwd())
    given = any(word.startswith("hydra.searchpath=") for word in words)
    if own is not None and not given:
        more.append(f"hydra.searchpath=[file://{own}]")
    overrides = _parsed(command, words).overrides
    at = words.index(overrides[0]) if overrides else len(words)
    return [*words[:at], *more, *words[at:]]


def complete(words: list[str], commands: list[str]) -> int:
    """Tab completion: the commands first, then Hydra's own for the configs of the chosen one."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if any(word.startswith("query=") for word in words) and typed:
        if len(typed) == 1 or (len(typed) == 2 and not line.endswith(" ")):
            print("\n".join(commands))
            return 0
        if typed[1] not in COMPOSING:
            return 0
        # Hydra knows an app without commands: take the command out of the line it is asked about.
        os.environ["COMP_LINE"] = line.replace(f"{typed[0]} {typed[1]}", typed[0], 1)
    import hydra

    before = sys.argv
    sys.argv = ["vit", *words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")(
                _unreached
            )()
    finally:
        sys.argv = before
        for line in said.getvalue().splitlines():
            print(" ".join(word for word in line.split(" ") if not _is_base(word)))
    return 0


def _is_base(word: str) -> bool:
    """Whether a word to be offered is `data=base`, a file that is no choice."""
    group, _, option = word.partition("=")
    folders = [config_folder(), own_configs(Path.cwd())]
    return is_base(tuple(folder for folder in folders if folder is not None), group, option)
