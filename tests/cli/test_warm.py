"""A command from a fork of the warm process is the one that a process of its own gives."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import commands
import pytest
from commands import command, true_command

pytestmark = pytest.mark.skipif(not commands.WARM, reason="this system has no such forks")
SMALL = ["experiment=digits", "backbone.dim=16", "backbone.depth=1", "tracking=none"]
WORDS = [
    (["check", *SMALL, "backbone.heads=5", "optim.lr=-1"], 2),
    (["train", *SMALL, "--cfg", "job"], 0),
    (["nonsense"], 2),
]


@pytest.mark.parametrize(("words", "code"), WORDS)
def test_streams_and_exit_codes_are_those_of_a_process_of_its_own(words, code, tmp_path):
    there = [by(*words, code=code, cwd=tmp_path) for by in (command, true_command)]
    assert there[0].stdout == there[1].stdout and there[0].stderr == there[1].stderr
    assert there[0].stdout or there[0].stderr


def test_what_imports_read_and_no_other_change_asks_for_a_process_of_its_own(monkeypatch):
    usual = commands._environment(None)
    assert not commands._is_read_by_imports(usual), "all commands would be slow ones"
    assert not commands._is_read_by_imports({**usual, "COLUMNS": "7", "WANDB_MODE": "online"})
    assert commands._is_read_by_imports({**usual, "OMP_NUM_THREADS": "3"})
    assert commands._is_read_by_imports({k: v for k, v in usual.items() if k != "PATH"})
    monkeypatch.setattr(commands, "true_command", lambda *words, **_: words)
    assert command("check", environment={"OMP_NUM_THREADS": "3"}) == ("check",)


LONG = ["train", *SMALL, "trainer.max_epochs=3000", "hydra.run.dir=run"]
LIKE_PYTEST = """
import sys
import commands
print(commands._warm().process.pid, flush=True)
commands.command(*sys.argv[2:], cwd=sys.argv[1])
"""


def running_in(folder):
    """Processes of this folder: a fork has no command line of its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found


def until(is_so, seconds=200):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_that_takes_too_long_is_killed_with_all_it_started_and_the_next_is_served(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired) as late:
        command(*LONG, cwd=tmp_path, timeout=4)
    assert late.value.__notes__[0].startswith("it had printed:\n")
    assert running_in(tmp_path) == []
    assert "Hydra" in command("train", "--help").stdout


def test_a_command_that_is_killed_gives_the_signal_as_its_code(tmp_path):
    def kill():
        until(lambda: running_in(tmp_path))
        os.kill(min(running_in(tmp_path)), signal.SIGKILL)  # the command; what it starts is later

    threading.Thread(target=kill).start()
    assert command(*LONG, code=None, cwd=tmp_path).returncode == -signal.SIGKILL


@pytest.mark.slow
def test_no_process_outlives_pytest_though_it_is_killed_within_a_command(tmp_path):
    places = [str(Path(commands.__file__).parent), *filter(None, sys.path)]
    with subprocess.Popen(
        [sys.executable, "-c", LIKE_PYTEST, tmp_path, *LONG],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
    ) as started:
        try:
            warm = int(started.stdout.readline())
            until(lambda: (tmp_path / "run/metrics.jsonl").exists())
            assert len(running_in(tmp_path)) > 1  # the command, and what it trains in
        finally:
            started.kill()
        assert started.stdout.read() == ""  # to its end: nobody else holds the stream
    assert started.returncode == -signal.SIGKILL
    until(lambda: not running_in(tmp_path) and not Path(f"/proc/{warm}").exists())


def test_nothing_stays_of_a_command_before(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = command("train", *SMALL, "seed=a", "hydra.run.dir=run", code=2, cwd=tmp_path / name)
        assert done.stderr.count("seed") == 1
        assert list(tmp_path.glob("*/*")) == []
