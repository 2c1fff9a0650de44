"""`vit.train`, `vit.sweep` and `vit.check`: the commands of these names, from Python."""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from vit.api.command import REFUSED, STOPPED, require_success, run_command
from vit.api.run import Run, Runs, runs
from vit.api.words import words_of
from vit.cli.compose import compose_runs
from vit.cli.train import parsed
from vit.faults import Fault, Refused


def train(*words: str, progress: bool = True, **keys: Any) -> Run:
    """Trains what these words and keys compose, in a process of its own; gives the finished run.

    The same run as `vit train` with the same words: the same folder, the same numbers. One that is
    done already is given at once, one that was interrupted goes on. `progress` shows one line that
    changes, or where the output goes into a file a line an epoch. Raises Refused with every fault
    before anything is trained, RuntimeError where the training fails, KeyboardInterrupt where it
    was stopped (its checkpoint is saved).

    >>> run = vit.train("experiment=digits", seed=1, backbone={"depth": 6})
    >>> run = vit.train("data=folder", "backbone=vit_ti", data={"root": "photos"})
    """
    asked = words_of(words, keys)
    (composed,) = compose_runs(_parsed(asked, several=False))
    ended = run_command(["train", *asked], progress=progress)
    if ended.code == STOPPED:
        raise KeyboardInterrupt(f"{composed.run_dir} was stopped; the same call goes on with it")
    require_success(ended.code, ended.output, ended.errors)
    return Run(Path(composed.run_dir))


def sweep(*words: str, progress: bool = True, **keys: Any) -> Runs:
    """A run for each point, as `vit train -m` trains them; gives all runs of the sweep.

    >>> trials = vit.sweep("experiment=digits", "backbone.depth=2,4", "seed=range(3)")
    >>> trials.to_pandas()
    """
    asked = [*words_of(words, keys), "-m"]
    folder = sweep_folder(asked)
    ended = run_command(["train", *asked], progress=progress)
    if ended.code == STOPPED:
        raise KeyboardInterrupt(f"{folder} was stopped; the same call goes on with it")
    require_success(ended.code, ended.output, ended.errors)
    return runs(folder)


def sweep_folder(asked: list[str]) -> Path:
    """Where the sweep of these words lies."""
    first, *_ = compose_runs(_parsed(asked, several=True))
    return Path(first.run_dir).parent


def _parsed(asked: list[str], *, several: bool) -> Namespace:
    """Raises Refused where a word is an option that is none, or none for this."""
    try:
        arguments = parsed(asked)
    except SystemExit:  # argparse has said on the screen what it did not know
        options = [word for word in asked if word.startswith("-")] or asked
        raise Refused([Fault(word, "is no word for vit.train") for word in options]) from None
    if arguments.multirun and not several:
        raise Refused([Fault("-m", "is for several runs: use vit.sweep")])
    return arguments


def check(*words: str, full: bool = False, **keys: Any) -> dict[str, Any]:
    """`vit check`: what a run would be, as plain values. Raises Refused with every fault.

    >>> vit.check("experiment=digits")["parameters"]
    """
    asked = ["check", *words_of(words, keys), "--json", *(["--full"] if full else [])]
    ended = run_command(asked)
    if ended.code == REFUSED:
        with suppress(ValueError, KeyError, TypeError):
            faults = json.loads(ended.output)["faults"]
            raise Refused([Fault(str(each["where"]), str(each["message"])) for each in faults])
    return json.loads(require_success(ended.code, ended.output, ended.errors))
