"""A run of several processes on one machine, under torchrun's agent, which cleans up after them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress

from vit.runs.directory import RunFolder
from vit.runs.process import passed_on


def train_together(
    folder: RunFolder, count: int, threads: int, allow_targets: Iterable[str]
) -> int:
    """Trains the folder's run in `count` processes of `threads` threads; returns the exit code.

    A signal reaches the agent, which passes it on; the processes agree where to stop. The agent
    does the same where one process fails: they cannot agree then, and the run has failed.
    """
    words = ["--standalone", f"--nproc-per-node={count}", "-m", "vit", "run", str(folder.path)]
    for package in allow_targets:
        words += ["--allow-target", package]
    command = [sys.executable, "-m", "vit.runs.agent", *words]
    agent = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    with passed_on(agent.terminate):
        while agent.poll() is None:
            with suppress(KeyboardInterrupt):  # the agent, in our process group, got it as well
                agent.wait()
    # The agent's own code says only that something ended; rank 0 wrote down what.
    return int(folder.state().get("exit_code") or agent.returncode) if agent.returncode else 0
