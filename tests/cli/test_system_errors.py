"""What a command prints on terminals that know few characters, and of errors of the system."""

import errno
import io
import os
import subprocess
import sys

import pytest

from vit.cli import diff
from vit.cli.compose import compose
from vit.cli.main import main
from vit.runs import process
from vit.runs.directory import RunFolder


def test_a_terminal_of_ascii_shows_question_marks(monkeypatch):
    paper = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", paper)
    assert main(["--help"]) == 0
    paper.flush()
    assert b"vit train experiment=digits" in paper.buffer.getvalue()
    assert os.environ["PYTHONIOENCODING"] == "ascii:replace"  # for child processes


def test_what_the_system_refuses_is_one_line(monkeypatch, capsys):
    def full(argv):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a/state.json")

    monkeypatch.setattr(diff, "main", full)
    assert main(["diff"]) == 1
    assert capsys.readouterr().err == "failed: runs/a/state.json: No space left on device\n"


def test_weights_are_not_exported_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    RunFolder(tmp_path).freeze(compose(["experiment=digits"]))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["export", str(tmp_path)]) == 2
    assert f"no permission to write in {tmp_path}" in capsys.readouterr().err


def test_what_the_system_refuses_a_child_is_the_parents_error():
    with pytest.raises(FileNotFoundError) as caught:
        process.call("os:listdir", "/no/such/folder")
    assert caught.value.filename == "/no/such/folder"


def test_a_reader_who_leaves_is_no_error_of_the_help():
    """`vit --help | head -2`: nobody reads the rest."""
    for words in (["--help"], ["--version"]):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started = subprocess.Popen([sys.executable, "-m", "vit", *words], **pipes)
        started.stdout.close()
        said = started.stderr.read()
        assert (started.wait(), said) == (141, b""), words
        started.stderr.close()
