"""vit run RUN_DIR: trains a frozen folder; what every process of a run executes. Knows no Hydra."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs.process import die_with_parent, same_code_for_children

ABOUT = """Train, or go on with, the run that a folder's config.yaml describes.

  vit train … --prepare                  check, and write the folder
  vit run RUN_DIR                        train it with all its processes on this machine
  vit run RUN_DIR --node-rank 1 --master HOST:29400
                                         on each of several machines (trainer.num_nodes)
  srun --ntasks-per-node=1 vit run RUN_DIR
                                         the same in a Slurm job

All machines must see the folder under one path. It starts torchrun itself; started by torchrun
it is one of the processes."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit run",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(
        "--allow-target",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package outside vit, torch, torchvision and timm that parts may come from",
    )
    parser.add_argument("--node-rank", type=int, metavar="N", help="this machine's number, from 0")
    parser.add_argument("--master", metavar="HOST[:PORT]", help="where the first machine listens")
    parser.add_argument(
        "--allow-changed", action="store_true", help="go on though it was begun with other data"
    )
    parser.add_argument(
        "--online", action="store_true", help="send it to W&B where its folder says so"
    )
    arguments = parser.parse_args(argv)
    same_code_for_children()
    one_of_several = "RANK" in os.environ
    if one_of_several:
        # Of torchrun's agent. A process that waits for others would not answer SIGTERM.
        die_with_parent(signal.SIGKILL)
    from vit.runs.directory import RunFolder
    from vit.runs.tracking import unasked_upload
    from vit.runs.trust import require_trusted
    from vit.schema import frozen_faults

    folder = RunFolder(arguments.run_dir)
    config = folder.config()  # refuses a folder that is no run before torch is imported
    allowed = require_trusted(config, arguments.allow_target)
    if faults := frozen_faults(config):
        raise Refused(faults)
    if not arguments.online and (faults := unasked_upload(config.get("tracking"), "--online")):
        raise Refused(faults)
    if folder.is_done():
        print(f"{arguments.run_dir} is done already; nothing to do.")
        return 0
    devices, nodes = (config["trainer"].get(key, 1) for key in ("devices", "num_nodes"))
    if nodes == 1 and (arguments.node_rank, arguments.master) != (None, None):
        message = "are for runs on several machines; this one is for one (trainer.num_nodes=1)"
        raise Refused([Fault("--node-rank, --master", message)])
    if not one_of_several and devices * nodes > 1:
        from vit.runs.nodes import given_node, slurm_node
        from vit.runs.torchrun import train_together
        from vit.terminal import end_passing

        end_passing()  # the processes write to this terminal themselves
        node = None
        if nodes > 1:
            given = arguments.node_rank, arguments.master
            node = (slurm_node(nodes) if given == (None, None) else None) or given_node(
                nodes, *given
            )
        code = train_together(
            folder,
            devices,
            config["threads"],
            allowed,
            node,
            allow_changed=arguments.allow_changed,
        )
        return 0 if folder.is_done() else code
    from vit.jobs.training import train

    code = train(arguments.run_dir, allowed, arguments.allow_changed)
    if code == 2 and os.environ.get("RANK", "0") == "0":
        print(f"refused: {folder.state().error}", file=sys.stderr)
    if code == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is nothing left to stop
    return code
