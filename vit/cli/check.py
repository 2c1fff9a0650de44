"""vit check: every fault together, then what the run would be; trains nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from vit.cli.compose import HYDRA_SHOWS, add_compose_arguments, compose_runs, written_out
from vit.cli.screen import show_report, show_suggestions
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.check_report import CheckReport
from vit.runs.composed import Composed
from vit.runs.continuity import refuse_changed_data
from vit.runs.directory import RunFolder
from vit.runs.extension import require_parent
from vit.runs.privacy import Held, held_by

ABOUT = """Find every fault of a config and its data, and show what the run would be.

  vit check experiment=cifar10
  vit check data=folder data.root=photos --full      read every image
  vit check trainer.devices=8 data.batch_size=1024   for another machine than this one
  vit check experiment=digits --find-lr --find-batch-size
  vit check experiment=digits --json                 for programs
  vit check experiment=digits --privacy              what its files would say of you"""

CHECK = "vit.check.preflight:plain_report"
FIND = "vit.check.finders:find"
NOTHING_CHOSEN = (
    "neither data=… nor experiment=… was chosen, so data=digits with backbone=vit was taken; "
    "experiment=digits is a whole recipe for it"
)


def main(argv: list[str]) -> int:
    argv = written_out(argv)
    if any(word.split("=")[0] in HYDRA_SHOWS for word in argv):
        from vit.cli.shell import show

        return show("check", argv)
    parser = argparse.ArgumentParser(
        prog="vit check", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_compose_arguments(parser)
    parser.add_argument("--full", action="store_true", help="check every image, not a sample")
    parser.add_argument(
        "--privacy",
        action="store_true",
        help="say what files, tracker and page would hold",
    )
    add_find_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_intermixed_args(argv)
    process.warm_up()
    ours = ("--privacy", "--json", "--full")
    command = ["vit", "train", *(word for word in argv if word not in ours)]
    try:
        runs = compose_runs(arguments)
    except Refused as first:
        refused = with_faults_of_the_rest(first, arguments)
        if not arguments.json:
            raise refused from None
        print(json.dumps({"faults": [vars(fault) for fault in refused.faults]}, indent=1))
        return 2
    faulty = False
    for run in runs:
        report = checked(run, arguments)
        faulty = faulty or bool(report.faults)
        suggestions: list[dict[str, Any]] = []
        if not report.faults and any(finding(arguments)):
            asked = [(run.config, report.to_plain())]
            suggestions = process.call(FIND, asked, *finding(arguments))
        privacy = held_by(run.config, command) if arguments.privacy else []
        if arguments.json:
            plain = {**report.to_plain(), "run_dir": str(run.run_dir)}
            plain |= {"found": suggestions} if suggestions else {}
            plain |= {"privacy": [vars(item) for item in privacy]} if arguments.privacy else {}
            print(json.dumps(plain, indent=1))
        elif report.faults:
            from vit.cli.screen import refuse

            refuse(Refused(report.faults))
            for warning in report.warnings:
                print(f"warning: {warning}", file=sys.stderr)
        else:
            print(f"run         {run.run_dir}")
            show_report(report)
            show_suggestions(suggestions, [""])
            show_privacy(privacy)
    return 2 if faulty else 0


def checked(run: Composed, arguments: argparse.Namespace) -> CheckReport:
    """The report of a run that may go on in its folder, which adds faults of its own."""
    asked = run.config, str(run.run_dir), arguments.full
    report = CheckReport.from_plain(process.call(CHECK, *asked))
    folder = RunFolder(run.run_dir)
    try:
        folder.refuse_conflicts(run.config)
        if run.parent is not None:
            require_parent(RunFolder(run.parent), folder, run.config)
        if not report.faults:
            data, changes = report.sound.data, report.sound.changes or ()
            refuse_changed_data(folder, data.fingerprint, changes)
    except Refused as refused:
        report.faults += refused.faults
    if report.faults:
        report.faults += nothing_chosen(arguments)
    return report


def show_privacy(items: Sequence[Held]) -> None:
    """What would be written, by file."""
    before = ""
    for item in items:
        where = "" if item.where == before else item.where
        before = item.where
        print(f"{where:<24}{item.what}{': ' if item.value else ''}{item.value}")


def add_find_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--find-lr", action="store_true", help="train 150 steps at a growing optim.lr, suggest one"
    )
    parser.add_argument(
        "--find-batch-size", action="store_true", help="try 1, 2, 4, … at a time, suggest how many"
    )


def finding(arguments: argparse.Namespace) -> tuple[bool, bool]:
    return arguments.find_lr, arguments.find_batch_size


def with_faults_of_the_rest(refused: Refused, arguments: argparse.Namespace) -> Refused:
    """A misspelt word hides no other fault: what remains without it is checked as well."""
    faults = list(refused.faults)
    if refused.rest is not None:
        plain = process.call(CHECK, refused.rest, None, arguments.full)
        known = {fault.where for fault in faults}
        rest = CheckReport.from_plain(plain).faults
        faults += [fault for fault in rest if fault.where not in known]
    every = list(dict.fromkeys([*faults, *nothing_chosen(arguments)]))
    return Refused(every, hint=refused.hint)


def nothing_chosen(arguments: argparse.Namespace) -> list[Fault]:
    """Said beside other faults only: the defaults alone are no recipe."""
    chosen = any(word.startswith(("data=", "experiment=")) for word in arguments.overrides)
    own = arguments.config_name != "train" or arguments.config_dir is not None
    return [] if chosen or own else [Fault("data", NOTHING_CHOSEN)]
