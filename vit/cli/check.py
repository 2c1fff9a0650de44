"""vit check: every fault together, then what the run would be; trains nothing."""

from __future__ import annotations

import argparse
import json
import sys

from vit.cli.compose import HYDRA_SHOWS, add_compose_arguments, compose_runs, written_out
from vit.cli.screen import show_found, show_report
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.continuity import refuse_changed_data
from vit.runs.directory import RunFolder
from vit.runs.privacy import held_by

ABOUT = """Find every fault of a config and its data, and show what the run would be.

  vit check experiment=cifar10
  vit check data=folder data.root=photos --full      read every image
  vit check trainer.devices=8 data.batch_size=1024   for another machine than this one
  vit check experiment=digits --find-lr --find-batch-size
  vit check experiment=digits --json                 for programs
  vit check experiment=digits --privacy              what its files would tell of you"""

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
        help="tell what files, tracker and page would hold",
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
        report = process.call(
            "vit.check.preflight:preflight", run.config, str(run.run_dir), arguments.full
        )
        try:
            RunFolder(run.run_dir).refuse_conflicts(run.config)
            if not report["faults"]:
                known = report["data"]["fingerprint"], report.get("changes", ())
                refuse_changed_data(RunFolder(run.run_dir), *known)
        except Refused as refused:
            report["faults"] += [vars(fault) for fault in refused.faults]
        if report["faults"]:
            report["faults"] += [vars(fault) for fault in nothing_chosen(arguments)]
        report["run_dir"] = str(run.run_dir)
        faulty = faulty or bool(report["faults"])
        if not report["faults"] and (arguments.find_lr or arguments.find_batch_size):
            report["found"] = process.call(FIND, [(run.config, report)], *finding(arguments))
        if arguments.privacy:
            report["privacy"] = [vars(item) for item in held_by(run.config, command)]
        if arguments.json:
            print(json.dumps(report, indent=1))
        elif report["faults"]:
            from vit.cli.screen import refuse

            refuse(Refused([Fault(**fault) for fault in report["faults"]]))
            for warning in report["warnings"]:
                print(f"warning: {warning}", file=sys.stderr)
        else:
            print(f"run         {run.run_dir}")
            show_report(report)
            show_found(report.get("found", []), [""])
            show_privacy(report.get("privacy", []))
    return 2 if faulty else 0


def show_privacy(items: list[dict[str, str]]) -> None:
    """What would be written, by file."""
    for number, item in enumerate(items):
        same = number and items[number - 1]["where"] == item["where"]
        where = "" if same else item["where"]
        print(f"{where:<24}{item['what']}{': ' if item['value'] else ''}{item['value']}")


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
        report = process.call("vit.check.preflight:preflight", refused.rest, None, arguments.full)
        told = {fault.where for fault in faults}
        faults += [Fault(**fault) for fault in report["faults"] if fault["where"] not in told]
    every = list(dict.fromkeys([*faults, *nothing_chosen(arguments)]))
    return Refused(every, hint=refused.hint)


def nothing_chosen(arguments: argparse.Namespace) -> list[Fault]:
    """Said beside other faults only: the defaults alone are no recipe."""
    chosen = any(word.startswith(("data=", "experiment=")) for word in arguments.overrides)
    own = arguments.config_name != "train" or arguments.config_dir is not None
    return [] if chosen or own else [Fault("data", NOTHING_CHOSEN)]
