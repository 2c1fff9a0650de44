"""A run of several processes under torchrun's agent, one a machine, which cleans up after them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from vit.runs.continuity import GO_ON
from vit.runs.directory import RunFolder
from vit.runs.nodes import Node
from vit.runs.process import passed_on
from vit.runs.state import RunState

ONLINE = "--online"  # whoever starts a run's processes was asked already
CODE_SECONDS = 10.0  # for the first machine's word on why all ended


def train_together(
    folder: RunFolder,
    count: int,
    threads: int,
    allow_targets: Iterable[str],
    node: Node | None = None,
    *,
    allow_changed: bool = False,
) -> int:
    """Trains the folder's run in `count` processes of `threads` threads; returns the exit code.

    With `node`, these are the processes of one of several machines, each of which calls this. A
    signal reaches the agent, which passes it on; the processes agree where to stop. The agent
    does the same where one process fails: they cannot agree then, and the run has failed. It
    starts none anew: torchrun's restart leaves the machines with different counts of attempts,
    and they wait for one another for ever (torch 2.14.1). The same command goes on.
    """
    words = [f"--nproc-per-node={count}", *(_meeting(node) if node else ["--standalone"])]
    words += ["-m", "vit", "run", str(folder.path), ONLINE, *_allowed(allow_targets)]
    words += [GO_ON] if allow_changed else []
    command = [sys.executable, "-P", "-m", "vit.runs.agent", *words]
    before = folder.state()
    code = _wait(command, {"OMP_NUM_THREADS": str(threads)})
    # The agent's own code says only that something ended; rank 0 wrote down what.
    elsewhere = node is not None and node.rank > 0
    return (_written_code(folder, before, wait=elsewhere) or code) if code else 0


def train_on_nodes(folder: RunFolder, count: int, allow_targets: Iterable[str]) -> int:
    """The same on `count` machines of the Slurm job that this process is the first of."""
    words = [f"--nodes={count}", f"--ntasks={count}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    words += [sys.executable, "-P", "-m", "vit", "run", str(folder.path), ONLINE]
    words += _allowed(allow_targets)
    before = folder.state()
    code = _wait(["srun", *words], {})
    return (_written_code(folder, before) or code) if code else 0


def _meeting(node: Node) -> list[str]:
    return [
        f"--nnodes={node.count}",
        f"--node-rank={node.rank}",
        f"--master-addr={node.address}",
        f"--master-port={node.port}",
    ]


def _allowed(packages: Iterable[str]) -> list[str]:
    return [word for package in packages for word in ("--allow-target", package)]


def _wait(command: list[str], environment: dict[str, str]) -> int:
    started = subprocess.Popen(command, env={**os.environ, **environment})
    with passed_on(started.terminate):
        while started.poll() is None:
            with suppress(KeyboardInterrupt):  # it, in our process group, got it as well
                started.wait()
    return started.returncode


def _written_code(folder: RunFolder, before: RunState, wait: bool = False) -> int:
    """The exit code that rank 0 wrote down, which may be a moment later on another machine.

    0 where it wrote nothing since `before`: what stands there is of an earlier start.
    """
    until = time.monotonic() + (CODE_SECONDS if wait else 0)
    while time.monotonic() < until and folder.state().name == "running":
        time.sleep(0.1)
    now = folder.state()
    return 0 if now == before else now.exit_code or 0
