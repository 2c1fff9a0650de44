#!/usr/bin/env python
"""Stands in for Slurm's `srun` and `scontrol`: each task is a process of this machine.

A task that fails ends the others, as `--kill-on-bad-exit` asks.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    if Path(sys.argv[0]).name == "scontrol":
        print("127.0.0.1\n127.0.0.1")
        return 0
    words = sys.argv[1:]
    command = list(itertools.dropwhile(lambda word: word.startswith("--"), words))
    count = next(int(word.split("=")[1]) for word in words if word.startswith("--nodes="))
    result = {
        "SLURM_STEP_NODELIST": "here[1-2]",
        "SLURM_STEP_NUM_NODES": str(count),
        "SLURM_STEP_NUM_TASKS": str(count),
    }
    tasks = []
    for rank in range(count):
        environment = {**os.environ, **result, "SLURM_NODEID": str(rank), "SLURM_PROCID": str(rank)}
        tasks.append(subprocess.Popen(command, env=environment, start_new_session=True))
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda got, _: [task.send_signal(got) for task in tasks])
    while any(task.poll() is None for task in tasks):
        time.sleep(0.05)
        if any(task.poll() not in (None, 0) for task in tasks):
            until = time.monotonic() + 20  # Slurm's KillWait
            for task in tasks:
                if task.poll() is None:
                    task.terminate()
            while any(task.poll() is None for task in tasks) and time.monotonic() < until:
                time.sleep(0.05)
            for task in tasks:
                if task.poll() is None:
                    os.killpg(task.pid, signal.SIGKILL)
            break
    codes = [task.wait() for task in tasks]
    return max(code if code >= 0 else 128 - code for code in codes)


sys.exit(main())
