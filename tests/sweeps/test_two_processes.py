"""Trials of two processes (gloo, on the CPU): one process's end is its trial's, and no other's."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from vit.faults import Refused
from vit.runs.directory import RunFolder

HERE = Path(__file__).parent
TWO = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=1",
    "tracking=none",
    "threads=1",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "allow_targets=[one_rank]",
    "schedule=constant",
    "schedule.warmup_epochs=0",
    "schedule._target_=one_rank.OneRank",
]
pytestmark = pytest.mark.slow


def sweep(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "vit", "train", "-m", *TWO, f"hydra.sweep.dir={folder}", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )


def left_behind(folder):
    """Processes that still have to do with the sweep, after a moment to end."""
    for _ in range(50):
        found = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False)
        output = found.stdout.decode() + still_held(folder)
        if not output:
            return ""
        time.sleep(0.2)
    return output


def still_held(folder):
    """A forked training does not show the folder in its command line, but holds its lock."""
    for file in folder.glob("*/config.yaml"):
        try:
            with RunFolder(file.parent).locked():
                pass
        except Refused as refused:
            return str(refused)
    return ""


def rows(folder):
    words = [sys.executable, "-m", "vit", "sweep", "status", str(folder), "--json"]
    output = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return {row["overrides"]["+schedule.strike"]: row for row in output["trials"]}


def test_a_process_that_raises_dies_or_hangs_ends_its_trial_only(tmp_path):
    folder = tmp_path / "sweep"
    words = ["+schedule.strike=raise,kill,hang,none", "sweep.retries=0", "sweep.jobs=1"]
    driver = sweep(folder, *words, "sweep.hang_minutes=0.3", "sweep.grace_seconds=5")
    said, _ = driver.communicate(timeout=280)
    assert driver.returncode == 1, said
    found = rows(folder)
    assert {key: row["state"] for key, row in found.items()} == {
        "raise": "failed",
        "kill": "failed",
        "hang": "failed",
        "none": "done",
    }
    assert found["hang"]["kind"] == "hung"
    assert left_behind(folder) == ""


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_driver_leaves_no_process(tmp_path, how, devices):
    folder = tmp_path / "sweep"
    words = ["trainer.max_epochs=500", f"trainer.devices={devices}"]
    driver = sweep(folder, "+schedule.strike=none", *words)
    until = time.monotonic() + 90
    while not list(folder.glob("*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.1)
    driver.send_signal(how)
    said, _ = driver.communicate(timeout=90)
    assert driver.returncode == (143 if how == signal.SIGTERM else -9), said
    assert left_behind(folder) == ""


def test_processes_that_read_different_configs_train_nothing(tmp_path):
    config = json.loads(
        subprocess.run(
            [sys.executable, "-c", "import json, sys; from vit.cli.compose import compose;"
             "print(json.dumps(compose(sys.argv[1:])))", *TWO],
            capture_output=True, text=True, check=True,
        ).stdout
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(2):
        folder = tmp_path / str(rank)
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "seed": rank}))
        variables = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": 2,
            "LOCAL_WORLD_SIZE": 2,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "planted",
            "GROUP_RANK": 0,
        }
        words = [sys.executable, "-m", "vit", "run", str(folder), "--allow-target", "one_rank"]
        environment = {**os.environ, **{k: str(v) for k, v in variables.items()}}
        environment["PYTHONPATH"] = str(HERE)
        started.append(
            subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
            )
        )
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [1, 1], said
    assert "rank 1 has other config than rank 0" in (tmp_path / "0" / "log.txt").read_text()
    assert not list(tmp_path.glob("*/checkpoints/*"))
