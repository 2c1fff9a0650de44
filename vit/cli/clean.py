"""vit clean: free the disk that a sweep's checkpoints take."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs.claim import owner
from vit.runs.directory import RunFolder
from vit.sweeps.clean import free, linked
from vit.sweeps.ledger import Ledger
from vit.sweeps.roles import Objective

ABOUT = """Remove checkpoints of a sweep's ended trials but those of the best.

  vit clean runs/digits-depth --keep 3 --dry-run     tell how much that would free
  vit clean runs/digits-depth --keep 3
  vit clean runs/digits-depth --keep 0               none is kept

Metrics, logs and configs stay. Trials that can still go on keep their checkpoints."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit clean", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep_dir", type=Path)
    parser.add_argument("--keep", type=int, required=True, metavar="N", help="the best N keep them")
    parser.add_argument("--dry-run", action="store_true", help="tell, remove nothing")
    arguments = parser.parse_args(argv)
    if arguments.keep < 0:
        raise Refused([Fault("--keep", f"is {arguments.keep}; wanted 0 or more")])
    ledger = Ledger(arguments.sweep_dir)
    asked = ledger.sweep()["objective"]
    objective = Objective(asked["metrics"], asked["modes"])
    if not arguments.dry_run and owner(ledger.path) is not None:
        message = "is running; stop it first, or set sweep.keep for its next start"
        raise Refused([Fault(str(ledger.path), message)])
    rows, odd = ledger.read()
    folders = [RunFolder(Path(row["run_dir"])) for row in rows]
    for link in [link for folder in folders for link in linked(folder)]:
        where = os.path.realpath(link)
        print(f"left alone: {link} is a link, to {where}; what lies there is yours to remove")
    for fault in odd:
        print(f"left alone: {fault}")
    freed = free(ledger, objective, arguments.keep, dry_run=arguments.dry_run)
    print(f"{freed / 1e6:,.1f} MB {'would be' if arguments.dry_run else 'were'} freed")
    return 0
