"""vit sync: upload what was tracked offline."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.online import why_not_online
from vit.runs.tracking import keep_inside

ABOUT = """Upload offline W&B runs: of one run, of a sweep, of everything below a folder.

  vit sync runs/digits-1a2b3c4d
  vit sync runs                    every run that was not uploaded yet
  vit sync runs --dry-run

A run that was cut off and went on is uploaded as one run. WANDB_API_KEY or `wandb login` says who
you are, WANDB_BASE_URL which server."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit sync", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--again", action="store_true", help="also what was uploaded already")
    parser.add_argument("--dry-run", action="store_true", help="tell, upload nothing")
    arguments = parser.parse_args(argv)
    missing = [folder for folder in arguments.folders if not folder.is_dir()]
    if missing:
        raise Refused([Fault(str(folder), "no such folder") for folder in missing])
    found = offline_runs(arguments.folders)
    left = {
        run: [part for part in parts if arguments.again or not uploaded(part)]
        for run, parts in found.items()
    }
    training = [run for run, parts in left.items() if parts and _in_training(run)]
    for run in training:
        print(f"{run}  is being trained now; later", flush=True)
    left = {run: parts for run, parts in left.items() if parts and run not in training}
    if not left:
        print(f"nothing to upload: {len(found)} tracked runs, all uploaded")
        return 0
    if not arguments.dry_run and (problem := why_not_online()):
        raise Refused([Fault("vit sync", problem)])
    failed = []
    for run, parts in left.items():
        print(f"{run}  {len(parts)} part{'s' if len(parts) > 1 else ''}", flush=True)
        if not arguments.dry_run and not _upload(run, parts, arguments.again):
            failed.append(run)
    if failed:
        print(f"not uploaded: {', '.join(map(str, failed))}", file=sys.stderr)
        return 1
    print(f"{len(left)} run{'s' if len(left) > 1 else ''}{' to upload' * arguments.dry_run}")
    return 0


def offline_runs(folders: list[Path]) -> dict[Path, list[Path]]:
    """Run folder → its offline parts, in the order they were begun."""
    found: dict[Path, list[Path]] = {}
    for folder in folders:
        for part in sorted(folder.rglob("offline-run-*")):
            home = part.parent
            if home.name == "wandb" and part.is_dir() and not part.is_symlink():
                found.setdefault(home.parent, []).append(part)
    return found


def _in_training(run: Path) -> bool:
    try:
        with RunFolder(run).locked():
            return False
    except Refused:
        return True


def uploaded(part: Path) -> bool:
    return any(part.glob("*.synced"))


def _upload(run: Path, parts: list[Path], again: bool) -> bool:
    keep_inside(run, offline=False)
    words = [sys.executable, "-P", "-m", "wandb", "sync", "--yes"]
    words += ["--include-synced"] if again else []
    done = subprocess.run(
        [*words, *map(str, parts)],
        env={**os.environ, "WANDB_SILENT": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not all(uploaded(part) for part in parts):
        print((done.stdout + done.stderr).strip(), file=sys.stderr)
        return False
    return True
