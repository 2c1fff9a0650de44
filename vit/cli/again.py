"""A sweep's command given once more, by whoever trusts it: what its folder says is only a file.

The folder may be a stranger's, so words that let other code run, or read configs from elsewhere,
want to be given again, and so do settings that reach out of the sweep.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vit.cli.compose import own_configs, packages_named, written_out
from vit.faults import Fault, Refused
from vit.runs.environment import PUBLIC
from vit.runs.identity import PATHS
from vit.runs.trust import trusted
from vit.sweeps.ledger import Ledger

WIDER = ("allow_targets", "hydra.searchpath")


class Again:
    """The command that began a sweep, in the folder where it was given.

    `given` has what stands on this command line: `words`, `config_dir`, `config_name`,
    `allow_target` and `allow_changed`. Raises Refused with the words that must be added to it.
    """

    def __init__(self, ledger: Ledger, given: argparse.Namespace):
        from vit.cli import train

        record = ledger.sweep()
        words, folder = record.get("arguments"), Path(str(record.get("folder")))
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise Refused([Fault(str(ledger.sweep_file), f"arguments are {words!r}; wanted words")])
        words = written_out(words)
        begun = train.parsed(words)
        if not begun.multirun:
            raise Refused([Fault(str(ledger.sweep_file), "its command is for one run, without -m")])
        begun.allow_changed |= given.allow_changed
        allowed = trusted([*given.allow_target, *packages_named(given.words)])
        missing = [
            *_unconfirmed_words(begun.overrides, given.words, allowed),
            *_unconfirmed_files(begun, given, folder),
        ]
        faults = [] if folder.resolve() == Path.cwd() else _packages_there(folder, allowed)
        if missing:
            more = shlex.join(missing)
            message = (
                f"its command has {more}, which lets other code, files or variables in, and a "
                "sweep's own file is not enough for that. If you trust them, give them again: "
                f"vit sweep resume {ledger.path} {more}"
            )
            faults.append(Fault(str(ledger.path), message))
        if own_configs(folder) is not None and folder.resolve() != Path.cwd():
            message = (
                f"was begun in {folder}, whose conf/ it reads. If you trust it, go there first"
            )
            faults.append(Fault(str(ledger.path), message))
        if faults:
            raise Refused(faults)
        self._home, self._folder = ledger.path.absolute(), folder
        self._begun, self._words, self._command = begun, words, str(record.get("command"))
        self._allowed, self._given = allowed, given.words

    def run(self, begin: Callable[[], None] = lambda: None) -> int:
        """`begin` is called before the first trial is started, once nothing is refused any more."""
        from vit.cli import train

        os.chdir(self._folder)
        print(self._command, file=sys.stderr)
        trust = {"allow_targets": self._allowed, "home": self._home, "given": self._given}
        trust["begin"] = begin
        return train.sweep(self._begun, self._words, **trust)


def _unconfirmed_words(
    words: list[str], given: list[str], allowed: tuple[str, ...]
) -> Iterator[str]:
    for word in words:
        key = word.lstrip("+~").partition("=")[0].partition("@")[0]
        if word in given:
            continue
        if _reads_elsewhere(word):
            yield word
        if not any(key == wide or key.startswith(f"{wide}.") for wide in WIDER):
            continue
        names = packages_named([word])
        if not names or not set(names) <= set(allowed):
            yield word


def _reads_elsewhere(word: str) -> bool:
    """Whether a word takes a variable's value, other than where the data lie, or a file of a folder
    that is not searched for configs."""
    key, _, value = word.lstrip("+~").partition("=")
    if "oc." in value and not set(re.findall(r"oc\.env:(\w+)", value)) <= set(PUBLIC):
        return key not in [f"data.{name}" for name in PATHS]
    is_group = "." not in key or ".." in key
    return is_group and ".." in re.split(r"[^\w.-]", f"{key} {value}")


def _packages_there(folder: Path, allowed: Iterable[str]) -> list[Fault]:
    """The user trusts packages by name; those that lie in a folder of another's choice are not
    what they mean."""
    heads = dict.fromkeys(name.partition(".")[0] for name in allowed)
    found = [name for name in heads if (folder / name).exists() or (folder / f"{name}.py").exists()]
    message = "was begun there, where {} lies. If it is the one that you trust, go there first"
    return [Fault(str(folder), message.format(name)) for name in found]


def _unconfirmed_files(
    begun: argparse.Namespace, given: argparse.Namespace, folder: Path
) -> Iterator[str]:
    """A folder of configs, or a config that lies outside of the folders which are searched."""
    if begun.config_dir is not None:
        meant = (folder / begun.config_dir).resolve()
        if given.config_dir is None or Path(given.config_dir).resolve() != meant:
            yield f"--config-dir={meant}"
    if len(Path(begun.config_name).parts) > 1 and given.config_name != begun.config_name:
        yield f"--config-name={begun.config_name}"
