"""Fresh processes and the signals that reach all of them at once."""

import os
import signal
import subprocess
import sys

SAVES = """
import signal, time

def train():
    came = []
    signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    print("trains", flush=True)
    until = time.monotonic() + 30
    while not came and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)  # as long as a checkpoint takes
    return 143 if came else 1
"""
DRIVES = """
import sys
from vit.runs import process

process.PRELOAD = []
process.warm_up()
sys.exit(process.run("saves:train"))
"""


def test_a_signal_to_the_whole_group_is_the_runs_to_answer(tmp_path):
    """As `timeout` sends it, and a scheduler to all processes of a job."""
    (tmp_path / "saves.py").write_text(SAVES)
    command = [sys.executable, "-c", DRIVES]
    places = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    own = {"env": found, "start_new_session": True, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **own) as driver:
        assert driver.stdout.readline() == "trains\n"
        os.killpg(driver.pid, signal.SIGTERM)
        assert driver.wait(30) == 143
