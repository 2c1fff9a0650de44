"""A command from a fork of the warm process is the one that a process of its own gives."""

import subprocess

import commands
import pytest
from commands import command, true_command

pytestmark = pytest.mark.skipif(not commands.WARM, reason="VIT_WARM_TESTS=1 runs commands so")
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


def test_one_that_takes_too_long_is_killed_and_the_next_is_served(tmp_path):
    words = ["train", *SMALL, "trainer.max_epochs=300", f"hydra.run.dir={tmp_path}/run"]
    with pytest.raises(subprocess.TimeoutExpired):
        command(*words, timeout=0.5)
    assert "Hydra" in command("train", "--help").stdout


def test_nothing_stays_of_a_command_before(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = command("train", *SMALL, "seed=a", "hydra.run.dir=run", code=2, cwd=tmp_path / name)
        assert done.stderr.count("seed") == 1
        assert list(tmp_path.glob("*/*")) == []
