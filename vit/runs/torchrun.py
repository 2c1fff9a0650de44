"""A run of several processes on one machine, under torchrun's agent, which cleans up after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable

from vit.runs.directory import RunFolder


def train_together(
    folder: RunFolder, count: int, threads: int, allow_targets: Iterable[str]
) -> int:
    """Trains the folder's run in `count` processes of `threads` threads; returns the exit code.

    Ctrl-C and SIGTERM reach the agent, which passes SIGTERM to all. It does the same where one
    process fails, so what rank 0 then says of itself counts only if this parent was stopped too.
    """
    words = ["--standalone", f"--nproc-per-node={count}", "-m", "vit", "run", str(folder.path)]
    for package in allow_targets:
        words += ["--allow-target", package]
    command = [sys.executable, "-m", "vit.runs.agent", *words]
    agent = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    stopped_by = 0

    def pass_on(*_: object) -> None:
        nonlocal stopped_by
        stopped_by = 143
        agent.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        while agent.poll() is None:
            try:
                agent.wait()
            except KeyboardInterrupt:  # the agent, in our process group, got it as well
                stopped_by = 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return _settled(folder, agent.returncode, stopped_by)


def _settled(folder: RunFolder, code: int, stopped_by: int) -> int:
    state = folder.state()
    if code == 0 or state.get("state") not in ("preempted", "stopped"):
        return int(state.get("exit_code") or code) if code else 0
    kept = {key: state[key] for key in ("error", "train_seconds") if key in state}
    if stopped_by:
        folder.set_state(
            "stopped" if stopped_by == 130 else "preempted", exit_code=stopped_by, **kept
        )
        return stopped_by
    error = "a process failed, and the others were ended; log.txt and the terminal tell more"
    folder.set_state("failed", exit_code=1, **{**kept, "error": error})
    return 1
