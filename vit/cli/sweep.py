"""vit sweep: how a sweep stands, and what to do about it."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs.claim import owner
from vit.runs.continuity import GO_ON
from vit.sweeps.ledger import Ledger, SweepRecord, counts
from vit.sweeps.trial_row import FINISHED, TrialRow

ABOUT = """Look at a sweep, stop it, try its failed trials again.

  vit sweep list                       the sweeps under runs/
  vit sweep status runs/digits-depth   every trial; why the failed ones failed
  vit sweep status DIR --json          for programs
  vit sweep stop DIR                   running trials save and stop; the same command goes on
  vit sweep retry DIR [TRIAL…]         failed trials again, with the command that began the sweep
  vit sweep resume DIR                 that command again"""
TRUST = "again what its command has from outside; it says when that is needed"
STOP_SECONDS = 120.0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit sweep", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="status|list|stop|…")
    for name in ("status", "stop", "retry", "resume"):
        command = commands.add_parser(name)
        command.add_argument("sweep_dir", type=Path)
        if name in ("retry", "resume"):
            command.add_argument(
                GO_ON, action="store_true", help="though it was begun with other code or data"
            )
        if name == "retry":
            command.add_argument(
                "words", nargs="*", metavar="TRIAL", help="folder names or ids; also key=value"
            )
        if name == "resume":
            command.add_argument("words", nargs="*", metavar="key=value", help=TRUST)
        if name in ("retry", "resume"):
            command.add_argument("--config-dir", "-cd", help=TRUST)
            command.add_argument("--config-name", "-cn", help=TRUST)
            command.add_argument("--allow-target", action="append", default=[], metavar="PACKAGE")
        if name == "status":
            command.add_argument("--json", action="store_true", help="print JSON")
    command = commands.add_parser("list")
    command.add_argument("home", type=Path, nargs="?", default=Path("runs"))
    command.add_argument("--json", action="store_true", help="print JSON")
    arguments, more = parser.parse_known_args(argv)
    if more and (not hasattr(arguments, "words") or any(word.startswith("-") for word in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if arguments.command == "list":
        return _list(arguments.home, arguments.json)
    ledger = Ledger(arguments.sweep_dir)
    record = ledger.sweep()
    if arguments.command == "status":
        return _status(ledger, record, arguments.json)
    if arguments.command == "stop":
        return _stop(ledger)
    if missing := [key for key in ("folder", "command", "arguments") if key not in record]:
        raise Refused([Fault(str(ledger.sweep_file), f"has no {missing[0]!r}")])
    begun = record.get("path", str(ledger.path.absolute()))
    if Path(begun).resolve() != ledger.path.resolve():
        message = f"was begun as {begun}, where its command would go on; to go on here, give it "
        message += f"with hydra.sweep.dir={ledger.path}: {record['command']}"
        raise Refused([Fault(str(ledger.path), message)])
    if not Path(record["folder"]).is_dir():
        message = f"was begun in {record['folder']}, which is gone; give its command again: "
        raise Refused([Fault(str(ledger.path), message + record["command"])])
    if (driver := owner(ledger.path)) is not None:
        message = f"is being run by process {driver.get('pid')} on {driver.get('host')}"
        raise Refused([Fault(str(ledger.path), message)])
    from vit.cli.again import Again

    words = [*arguments.words, *more]
    arguments.words = [word for word in words if "=" in word]
    trials = [word for word in words if "=" not in word]
    if arguments.command == "resume" and trials:
        raise Refused([Fault(trials[0], "wanted key=value; vit sweep retry takes trials")])
    again = Again(ledger, arguments)
    if arguments.command == "resume":
        return again.run()
    chosen = _to_retry(ledger, trials)
    if not chosen:
        print("0 trials to retry")
        return 0
    return again.run(lambda: _reset(chosen))  # nothing is forgotten where it is refused


def _status(ledger: Ledger, record: SweepRecord, as_json: bool) -> int:
    rows, unreadable = ledger.read()
    driver = owner(ledger.path)
    if as_json:
        status = {key: record.get(key) for key in ("name", "command", "objective", "created")}
        status |= {"driver": driver, "trials": [row.to_plain() for row in rows]}
        status |= {"unreadable": [vars(fault) for fault in unreadable]}
        print(json.dumps(status, indent=1))
        return 0
    from vit.cli.screen import plain_console
    from vit.cli.sweep_screen import trials_table

    console = plain_console()
    state = (
        f"run by process {driver.get('pid')} on {driver.get('host')}" if driver else "not running"
    )
    console.print(f"sweep {ledger.path}, {state}", markup=False, style="bold")
    console.print(", ".join(f"{n} {name}" for name, n in counts(rows).items()), markup=False)
    console.print(trials_table(rows, record["objective"]["metrics"][0]))
    for fault in unreadable:
        console.print(f"cannot be read: {fault}", style="yellow", markup=False, soft_wrap=True)
    for failed in [row for row in rows if row.state == "failed"][:5]:
        console.print(f"\n{failed.label}: {failed.kind}", style="red", markup=False)
        for line in failed.log_tail[-5:]:
            console.print(f"  {line}", markup=False, soft_wrap=True)
    return 0


@dataclass(frozen=True)
class Listed:
    """One sweep of a list: how many trials are in which state, and who runs it."""

    path: Path
    states: dict[str, int]
    driver: dict[str, object] | None
    unreadable: list[Fault]

    def to_plain(self) -> dict[str, object]:
        return {
            "sweep_dir": str(self.path),
            "states": self.states,
            "driver": self.driver,
            "unreadable": [vars(fault) for fault in self.unreadable],
        }

    def __str__(self) -> str:
        counted = dict(self.states)
        if self.unreadable:
            counted["that cannot be read"] = len(self.unreadable)
        states = ", ".join(f"{count} {state}" for state, count in counted.items())
        return f"{self.path}  {states}{'  (running)' if self.driver else ''}"


def _list(home: Path, as_json: bool) -> int:
    if not home.is_dir():
        raise Refused([Fault(str(home), "no such folder")])
    sweeps = []
    for file in sorted(home.glob("*/sweep.json")):
        ledger = Ledger(file.parent)
        rows, unreadable = ledger.read()
        sweeps.append(Listed(ledger.path, counts(rows), owner(ledger.path), unreadable))
    if as_json:
        print(json.dumps({"sweeps": [sweep.to_plain() for sweep in sweeps]}, indent=1))
        return 0
    for sweep in sweeps:
        print(sweep)
    if not sweeps:
        print(f"no sweep in {home}")
    return 0


def _stop(ledger: Ledger) -> int:
    if owner(ledger.path) is None:
        print(f"{ledger.path} is not running")
        return 0
    ledger.stop_file.touch()
    print("asked; running trials save their checkpoints", flush=True)
    until = time.monotonic() + STOP_SECONDS
    while owner(ledger.path) is not None:
        if time.monotonic() > until:
            print(f"not stopped after {STOP_SECONDS:.0f} s; it may still be saving")
            return 1
        time.sleep(0.2)
    print(f"stopped; vit sweep resume {ledger.path} goes on")
    return 0


def _to_retry(ledger: Ledger, names: list[str]) -> list[TrialRow]:
    """The rows of the trials that are named, or of all that failed. Raises Refused."""
    rows = ledger.rows()
    known = {row.id: row for row in rows} | {row.label: row for row in rows}
    missing = [name for name in names if name not in known]
    if missing:
        raise Refused([Fault(name, f"no trial of {ledger.path}") for name in missing])
    chosen = [known[name] for name in names] or [row for row in rows if row.state == "failed"]
    finished = [row.label for row in chosen if row.state in FINISHED]
    if finished:
        raise Refused([Fault(name, "ended well; nothing to retry") for name in finished])
    return chosen


def _reset(chosen: list[TrialRow]) -> None:
    """Forgets the failure of trials, so that they are run once more."""
    for row in chosen:
        row.folder.set_state("planned", **row.folder.spent())
    print(f"{len(chosen)} trial{'' if len(chosen) == 1 else 's'} to retry")
