"""vit leet DIR: W&B's terminal viewer on all runs of a sweep, while they are trained."""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs.wandb_links import link_wandb
from vit.terminal import end_passing

ABOUT = """Watch the runs of a sweep live, in this terminal: curves, config, pictures, log.

  vit leet runs/digits-depth       all trials, those that begin meanwhile too
  vit leet runs                    all runs in a folder
  vit leet runs/digits-1a2b3c4d    one run

It opens `wandb leet` on DIR/wandb, a folder of links that are called after the runs. There, arrows
move, space puts a run into the charts or takes it out, enter looks at one, f filters by name or
config, 3 opens the pictures, h helps, q quits. To compare, and to decide, there is vit report."""
LINK_SECONDS = 2.0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit leet", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--links", action="store_true", help="make the links, open nothing")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.folder
    if not folder.is_dir():
        raise Refused([Fault(str(folder), "no such folder; wanted a sweep, or a folder of runs")])
    home = link_wandb(folder)
    if not any(home.glob("*run-*/run-*.wandb")):
        message = "holds no W&B runs (yet); wanted a sweep, or runs trained with tracking=wandb"
        raise Refused([Fault(str(folder), message)])
    if arguments.links:
        print(f"wandb leet {home}")
        return 0
    if not sys.stdout.isatty():
        raise Refused(
            [
                Fault(
                    "vit leet",
                    "draws on a terminal, and here is none; --links makes the links only",
                )
            ]
        )
    end_passing()
    ended = threading.Event()
    linker = threading.Thread(target=_keep_up, args=(folder, ended), daemon=True)
    linker.start()
    try:
        viewer = [sys.executable, "-P", "-m", "wandb", "leet", "run", str(home)]
        return subprocess.run(viewer, check=False).returncode
    finally:
        ended.set()
        linker.join()


def _keep_up(folder: Path, ended: threading.Event) -> None:
    while not ended.wait(LINK_SECONDS):
        link_wandb(folder)
