"""Two processes (gloo, on the CPU) that are stopped, killed and gone on with: the same numbers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from kills import equal, numbers

from vit.cli.compose import compose
from vit.runs.directory import RunFolder

pytestmark = pytest.mark.slow
WORDS = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=40",
    "tracking=none",
    "threads=1",
    "task.mixup=0.4",
    "ema=standard",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "data.num_workers=0",
    "checkpoint.every_n_steps=7",
]


def start(folder):
    # Its own session: what is sent to the group must not reach the tests.
    command = "import sys; from pathlib import Path; from vit.runs.directory import RunFolder;"
    command += "from vit.runs.torchrun import train_together;"
    command += "sys.exit(train_together(RunFolder(Path(sys.argv[1])), 2, 1, ()))"
    words = [sys.executable, "-c", command, str(folder)]
    with (folder / "said.txt").open("a") as said:
        return subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)


@pytest.fixture
def frozen(tmp_path):
    def make(name):
        folder = RunFolder(tmp_path / name)
        folder.freeze(compose(WORDS))
        return folder

    return make


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "peace")
    folder.freeze(compose(WORDS))
    assert start(folder.path).wait(200) == 0, (folder.path / "said.txt").read_text()
    return numbers(folder)


def ranks(folder):
    """Rank → pid of the run's processes."""
    found = subprocess.run(["pgrep", "-f", f"vit run {folder.path}"], capture_output=True)
    pids = {}
    for pid in map(int, found.stdout.split()):
        try:
            result = Path(f"/proc/{pid}/environ").read_text()
            rank = re.search(r"\0RANK=(\d+)\0", result)
        except OSError:
            continue
        if rank:
            pids[int(rank[1])] = pid
    return pids


def in_the_middle(folder, process, steps=60):
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        try:
            lines = folder.metrics_file.read_text().splitlines()
        except OSError:
            lines = []
        if lines and json.loads(lines[-1])["step"] >= steps:
            return
        time.sleep(0.02)
    raise AssertionError((folder.path / "said.txt").read_text())


def assert_nothing_is_left(folder):
    for _ in range(50):
        if not subprocess.run(["pgrep", "-f", str(folder.path)], capture_output=True).stdout:
            return
        time.sleep(0.1)
    raise AssertionError("a process was left behind")


def to_rank(number, how):
    return lambda folder, parent: os.kill(ranks(folder)[number], how)


def to_parent(folder, parent):
    parent.terminate()


def to_group(how):
    return lambda folder, parent: os.killpg(parent.pid, how)


@pytest.mark.parametrize(
    ("send", "code", "state"),
    [
        (to_parent, 143, "preempted"),
        (to_rank(0, signal.SIGTERM), 143, "preempted"),
        (to_rank(1, signal.SIGTERM), 143, "preempted"),
        (to_rank(1, signal.SIGUSR1), 143, "preempted"),
        (to_group(signal.SIGTERM), 143, "preempted"),
        (to_group(signal.SIGUSR1), 143, "preempted"),
        (to_group(signal.SIGINT), 130, "stopped"),
        (to_rank(1, signal.SIGKILL), 1, "failed"),
        (to_rank(0, signal.SIGKILL), 1, "running"),
    ],
    ids=["parent", "rank0", "rank1", "usr1", "group", "group-usr1", "ctrl-c", "kill1", "kill0"],
)
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(frozen, undisturbed, send, code, state):
    folder = frozen("run")
    process = start(folder.path)
    in_the_middle(folder, process)
    asked = time.monotonic()
    send(folder, process)
    returned = process.wait(60)
    seconds = time.monotonic() - asked
    said = (folder.path / "said.txt").read_text() + folder.log_file.read_text()
    assert returned == code, said
    assert folder.state().name == state, said
    assert seconds < 20
    assert_nothing_is_left(folder)
    saved = torch.load(folder.last_checkpoint, weights_only=True)["global_step"]
    recorded = json.loads(folder.metrics_file.read_text().splitlines()[-1])["step"]
    if code == 1:
        assert saved >= 49  # every_n_steps loses no more
    else:
        assert saved >= recorded
    assert start(folder.path).wait(200) == 0, (folder.path / "said.txt").read_text()
    assert equal(numbers(folder), undisturbed)
