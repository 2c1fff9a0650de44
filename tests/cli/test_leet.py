"""W&B's own viewer, in a terminal of ours: it opens the links under the names that we gave them."""

import os
import pty
import select
import struct
import subprocess
import sys
import time
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

WRITES = """
import sys, wandb
for number in range(2):
    run = wandb.init(project="p", id=f"trial-{number}-abc", dir=sys.argv[1 + number],
                     settings=wandb.Settings(console="off", silent=True))
    for step in range(20):
        run.log({"val/accuracy": step / 20})
    run.finish()
"""


def shown(terminal, wanted, seconds=60.0):
    """What has come until all of `wanted` was among it."""
    told, until = b"", time.monotonic() + seconds
    while time.monotonic() < until and not all(word in told for word in wanted):
        if select.select([terminal], [], [], 0.2)[0]:
            told += os.read(terminal, 65536)
    return told


@pytest.mark.slow
def test_leet_lists_trials_by_name_and_draws_them(tmp_path):
    trials = [tmp_path / "sweep" / f"depth_{n}-0000000{n}" for n in range(2)]
    for trial in trials:
        trial.mkdir(parents=True)
    places = {f"WANDB_{name}_DIR": str(tmp_path / name) for name in ("DATA", "CACHE", "CONFIG")}
    environment = {**os.environ, **places, "WANDB_MODE": "offline", "TERM": "xterm-256color"}
    subprocess.run([sys.executable, "-c", WRITES, *trials], env=environment, check=True)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    words = [sys.executable, "-m", "vit", "leet", str(tmp_path / "sweep")]
    with subprocess.Popen(
        words, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        try:
            listed = shown(ours, [b"-depth_0", b"-depth_1"])
            assert b"-depth_0" in listed and b"-depth_1" in listed
            os.write(ours, b" ")
            assert b"val/accuracy" in shown(ours, [b"val/accuracy"])
        finally:
            os.write(ours, b"q")
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
    os.close(ours), os.close(theirs)
