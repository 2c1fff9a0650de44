"""vit run RUN_DIR: what every process of a run executes. Knows no Hydra."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from vit.runs.process import die_with_parent, find_own_packages


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit run",
        description="Train, or go on with, the run that a folder's config.yaml describes. "
        "For several processes: torchrun --nproc-per-node N -m vit run RUN_DIR",
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(
        "--allow-target",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package outside vit, torch, torchvision and timm that parts may come from",
    )
    arguments = parser.parse_args(argv)
    if "RANK" in os.environ:
        # Of torchrun's agent. A process that waits for others would not answer SIGTERM.
        die_with_parent(signal.SIGKILL)
    from vit.runs.directory import RunFolder

    folder = RunFolder(arguments.run_dir)
    folder.config()  # refuses a folder that is no run before torch is imported
    if folder.is_done():
        print(f"{arguments.run_dir} is done already; nothing to do.")
        return 0
    from vit.tasks.training import train

    find_own_packages()
    return train(arguments.run_dir, tuple(arguments.allow_target))
