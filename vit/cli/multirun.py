"""vit train -m: every trial composed, checked and shown as a plan; then the sweep."""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vit.cli.check import FIND, finding
from vit.cli.compose import Composer, composer
from vit.cli.reach import unconfirmed_reach
from vit.cli.screen import show_suggestions
from vit.cli.sweep_request import request_of
from vit.cli.sweep_screen import show_plan, sweep_summary
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.environment import granted_by
from vit.sweeps.planning import label_of
from vit.sweeps.sweep import ONLINE, Sweep

MOST_HIDDEN = 4  # words that are left out in turn to find the faults behind them


def launch(
    arguments: argparse.Namespace,
    argv: list[str],
    *,
    allow_targets: Iterable[str] = (),
    home: Path | None = None,
    given: Sequence[str] = (),
    begin: Callable[[], None] = lambda: None,
) -> int:
    """`vit train -m …` from its parsed arguments; `argv` are the words after `vit train`.

    Where a file says what its words are, `home` is the only folder that the sweep may be in, and
    `given` are the words that stand on the command line; `allow_targets` are the packages that the
    user trusts besides those in the words. `begin` is called once nothing is refused any more.
    """
    began = time.monotonic()
    with composer(arguments, allow_targets) as compose_one:
        try:
            sweep = Sweep(request_of(arguments, argv, compose_one))
            if home is not None and sweep.ledger.path.resolve() != home.resolve():
                message = f"its command is for another folder, {sweep.ledger.path}: give it by hand"
                raise Refused([Fault(str(home), message)])
            if home is not None and (faults := unconfirmed_reach(sweep.policy, given)):
                raise Refused(faults)
            sweep.plan(to_run=not arguments.dry_run)
            if home is not None and ONLINE not in given:
                sweep.refuse_uploads()
        except Refused as refused:
            raise _with_hidden_faults(refused, arguments, argv, compose_one) from None
        words = sweep.base.config["tracking"] if home is None else list(given)  # the user's
        os.environ.update(granted_by(words))
        begin()
        seconds = time.monotonic() - began
        return _show_and_drive(sweep, arguments, seconds)


def _show_and_drive(sweep: Sweep, arguments: argparse.Namespace, seconds: float) -> int:
    """Shows the plan, which took so long to make, then carries it out; the exit code."""
    policy, began = sweep.policy, time.monotonic()
    sweep.planner.estimate_seconds(sweep.unfinished())
    show_plan(
        sweep.ledger.path,
        sweep.trials,
        sweep.read()[0],
        sweep.notes,
        seconds=seconds + time.monotonic() - began,
        jobs=sweep.jobs(),
        keeping={"all": None, "best": policy.keep_best, "none": 0}[policy.keep],
        searching=sweep.searching(),
    )
    if any(finding(arguments)):
        asked = [(trial.config, trial.report) for trial in sweep.trials]
        labels = [label_of(trial.varies) for trial in sweep.trials]
        show_suggestions(process.call(FIND, asked, *finding(arguments)), labels)
    if arguments.dry_run:
        return 0
    exit_code = sweep.drive()
    sweep_summary(sweep.ledger, sweep.objective, exit_code)
    return exit_code


def _with_hidden_faults(
    refused: Refused, arguments: argparse.Namespace, argv: list[str], compose_one: Composer
) -> Refused:
    """A word that cannot be composed hides the faults of the others: they are tried without it.

    Fewer words may mean another sweep's folder, whose state is no matter here.
    """
    faults = list(refused.faults)
    words = list(arguments.overrides)
    for _ in range(MOST_HIDDEN):
        wrong = {fault.where for fault in faults}
        keys = [word.partition("=")[0].lstrip("+~") for word in words]
        # The fault of a part names the part: sweep, optim.
        good = [not {key, key.partition(".")[0]} & wrong for key in keys]
        left = list(itertools.compress(words, good))
        if len(left) == len(words):
            break
        words = left
        try:
            fewer = argparse.Namespace(**{**vars(arguments), "overrides": words})
            Sweep(request_of(fewer, argv, compose_one)).check()
            break
        except Refused as more:
            faults += more.faults
    return Refused(list(dict.fromkeys(faults)))
