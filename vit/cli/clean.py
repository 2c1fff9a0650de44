"""vit clean: free the disk that the checkpoints of a finished run, or of a sweep, take."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from vit.cli.screen import scaled
from vit.data.recognition.layout import word
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.claim import owner
from vit.runs.directory import RunFolder
from vit.sweeps.clean import free, linked
from vit.sweeps.ledger import Ledger
from vit.sweeps.roles import Objective

ABOUT = """Free the disk that checkpoints take.

  vit clean runs/digits-1a2b3c4d --dry-run           tell how much that would free
  vit clean runs/digits-1a2b3c4d                     of a run that is done

A run keeps its selected checkpoint, and those of checkpoint.keep_…, with their weights alone: the
optimizer's state goes, and so does last.ckpt where another is the selected one. predict, evaluate,
attend, report and export answer as before; only extend= (more epochs) is not possible any
more; init=DIR still is. A run that is not done is refused.

  vit clean runs/digits-depth --keep 3 --dry-run
  vit clean runs/digits-depth --keep 3               the checkpoints of a sweep's ended trials go,
  vit clean runs/digits-depth --keep 0               but for those of the best 3, or of none

Metrics, logs and configs stay. Trials that can still go on keep their checkpoints."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit clean", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="of a run or of a sweep")
    parser.add_argument("--keep", type=int, metavar="N", help="of a sweep: the best N keep them")
    parser.add_argument("--dry-run", action="store_true", help="tell, remove nothing")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    is_run, is_sweep = (os.path.lexists(folder / name) for name in ("config.yaml", "sweep.json"))
    if not (is_run or is_sweep):
        message = "is no run and no sweep: it holds neither config.yaml nor sweep.json"
        raise Refused([Fault(str(folder), message)])
    if not is_sweep:
        return _clean_run(RunFolder(folder), arguments.keep, arguments.dry_run)
    return _clean_sweep(Ledger(folder), arguments.keep, arguments.dry_run)


def _clean_run(folder: RunFolder, keep: int | None, dry_run: bool) -> int:
    folder.config()
    if keep is not None:
        raise Refused([Fault("--keep", f"is for a sweep; {folder.path} is one run")])
    process.warm_up()
    rows = process.call("vit.jobs.cleaning:plan", str(folder.path))
    for row in rows:
        now = f"{scaled(row['after'])}B, without the optimizer's state"
        gone = "removed, as another is the selected one"
        change = f"{scaled(row['before'])}B → {now if row['after'] else gone}"
        print(f"{' = '.join(row['names'])}  {change}")
    if dry_run or not rows:
        freed = sum(row["before"] - row["after"] for row in rows)
    else:
        freed = process.call("vit.jobs.cleaning:clean", str(folder.path))
    if rows:
        start = f"a new run can start from its weights: {shlex.quote(word('init', folder.path))}"
        print(f"without that state extend= (more epochs) is not possible; {start}")
    _tell(freed, dry_run)
    return 0


def _clean_sweep(ledger: Ledger, keep: int | None, dry_run: bool) -> int:
    wanted = ledger.sweep()["objective"]
    if keep is None:
        message = "is needed of a sweep: how many of the best trials keep their checkpoints"
        raise Refused([Fault("--keep N", message)])
    if keep < 0:
        raise Refused([Fault("--keep", f"is {keep}; wanted 0 or more")])
    objective = Objective(wanted["metrics"], wanted["modes"])
    if not dry_run and owner(ledger.path) is not None:
        message = "is running; stop it first, or set sweep.keep for its next start"
        raise Refused([Fault(str(ledger.path), message)])
    rows, unreadable = ledger.read()
    for link in [link for row in rows for link in linked(row.folder)]:
        where = os.path.realpath(link)
        print(f"left alone: {link} is a link, to {where}; what lies there is yours to remove")
    for fault in unreadable:
        print(f"left alone: {fault}")
    _tell(free(ledger, objective, keep, dry_run=dry_run), dry_run)
    return 0


def _tell(freed: int, dry_run: bool) -> None:
    print(f"{scaled(freed)}B {'would be' if dry_run else 'were'} freed")
