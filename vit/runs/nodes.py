"""Which of a run's machines this is, and where they all meet."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from vit.faults import Fault, Refused

PORT = 29400  # torchrun's own default


@dataclass(frozen=True)
class Node:
    """One of `count` machines; the first listens at `address`:`port`."""

    rank: int
    count: int
    address: str
    port: int


def given_node(count: int, rank: int | None, master: str | None) -> Node:
    """The machine that a command line describes; `master` is HOST or HOST:PORT."""
    if rank is None or master is None:
        message = (
            f"this is a run on {count} machines (trainer.num_nodes): start it on each with "
            "--node-rank 0…, and --master HOST[:PORT] of the first; in a Slurm job of as many "
            "machines, vit train and vit run find both by themselves"
        )
        raise Refused([Fault("vit run", message)])
    if not 0 <= rank < count:
        raise Refused([Fault("--node-rank", f"is {rank}; wanted 0 to {count - 1}")])
    host, _, port = master.partition(":")
    if not host or (port and not port.isdecimal()):
        raise Refused([Fault("--master", f"is {master!r}; wanted HOST or HOST:PORT")])
    return Node(rank, count, host, int(port or PORT))


def slurm_node(count: int, environment: Mapping[str, str] = os.environ) -> Node | None:
    """This machine's part in a Slurm step of one task a machine; None outside of such a step.

    Raises Refused where the step has another shape than the run.
    """
    if "SLURM_STEP_NODELIST" not in environment or "SLURM_NODEID" not in environment:
        return None
    nodes = int(environment["SLURM_STEP_NUM_NODES"])
    tasks = int(environment["SLURM_STEP_NUM_TASKS"])
    if (nodes, tasks) != (count, count):
        message = (
            f"{tasks} tasks on {nodes} machines; the run wants {count} machines "
            f"(trainer.num_nodes) with one task each, which starts the processes of its machine: "
            f"srun --nodes={count} --ntasks={count} --ntasks-per-node=1"
        )
        raise Refused([Fault("srun", message)])
    command = ["scontrol", "show", "hostnames", environment["SLURM_STEP_NODELIST"]]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:  # in a container it may be missing
        message = f"{shlex.join(command)} does not tell the machines of this step: {error}"
        raise Refused([Fault("scontrol", message)]) from error
    hosts = answer.stdout.split()
    # Two jobs may share a machine.
    port = 20000 + int(environment["SLURM_JOB_ID"]) % 10000
    return Node(int(environment["SLURM_NODEID"]), count, hosts[0], port)


def in_allocation(count: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `srun` would find `count` machines: in the first process of a Slurm job."""
    machines = int(environment.get("SLURM_JOB_NUM_NODES", 0))
    return machines >= count and shutil.which("srun") is not None
