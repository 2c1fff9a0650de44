"""A command that takes a while says a word at once, on a terminal and nowhere else."""

import io
import os
import pty
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from vit import terminal
from vit.console import PlainConsole, PlainTable
from vit.runs.one_line import warned_in_words
from vit.terminal import PlainStream, end_passing, show_passing, steerable

GOES = "\r\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "_passing", [])
    return Terminal()


def test_the_word_goes_when_anything_follows(screen, monkeypatch):
    monkeypatch.setattr(sys, "stderr", PlainStream(screen))
    out = PlainStream(io.StringIO())
    show_passing("one …")
    show_passing("two …")
    assert screen.getvalue() == f"one …{GOES}two …"
    out.write("")
    assert screen.getvalue().endswith("two …")
    out.write("found\n")
    assert screen.getvalue() == f"one …{GOES}two …{GOES}" and out.getvalue() == "found\n"
    show_passing("three")
    assert steerable(out) is out.stream and screen.getvalue().endswith(f"three{GOES}")
    end_passing()
    assert screen.getvalue().count(GOES) == 3


def test_a_terminal_that_cannot_erase_and_a_file_are_spared(screen, monkeypatch):
    monkeypatch.setattr(sys, "stderr", PlainStream(screen))
    monkeypatch.setenv("TERM", "dumb")
    show_passing("one …")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", PlainStream(io.StringIO()))
    show_passing("two …")
    assert screen.getvalue() == sys.stderr.getvalue() == ""


def test_a_command_says_it_before_it_imports_and_leaves_stdout_alone(tmp_path):
    ours, theirs = pty.openpty()
    words = [sys.executable, "-P", "-m", "vit", "report", str(tmp_path), "--json"]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=environment) as child:
        os.close(theirs)
        first = os.read(ours, 100).decode()
        there = Path(f"/proc/{child.pid}/maps").read_text() if sys.platform == "linux" else ""
        assert child.stdout.read() == b"" and child.wait() == 2
    said = first
    while True:
        try:
            said += os.read(ours, 1000).decode()
        except OSError:  # its other end is closed
            break
    os.close(ours)
    assert first.startswith("vit report: starting …") and "numpy" not in there
    assert said.startswith(f"vit report: starting …{GOES}") and "holds no runs" in said


def test_tables_have_no_trailing_blanks():
    for colours in (None, "standard"):
        file = io.StringIO()
        screen = PlainConsole(
            file=file, width=60, color_system=colours, force_terminal=bool(colours), highlight=False
        )
        table = PlainTable(title="numbers", title_justify="left", header_style="dim")
        table.add_column("name", style="cyan")
        table.add_column("value", justify="right")
        table.add_column("why", overflow="fold")
        table.add_row(Text("a"), "1.5", "")
        table.add_row("b  ", "", Text("a long word " * 6))
        table.add_row("c", "20", Text(""))
        screen.print(table)
        shown = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
        assert [line for line in shown.splitlines() if line != line.rstrip()] == []
        assert shown.splitlines()[:3] == ["numbers", "name  value  why", "a       1.5"]
        assert ("\x1b[" in file.getvalue()) is bool(colours)


def test_every_table_of_the_commands_is_such_a_one():
    home = Path(terminal.__file__).parent
    makers = [
        file.relative_to(home).as_posix()
        for file in home.rglob("*.py")
        if re.search(
            r"from rich\.table|rich\.table\.Table|from rich import .*table", file.read_text()
        )
    ]
    assert makers == ["console.py"] and issubclass(PlainTable, Table)


def test_what_libraries_say_to_developers_stays_off_the_screen(monkeypatch):
    lines = []

    def show(message, category, filename, lineno, file=None, line=None):
        lines.append(warnings.formatwarning(message, category, filename, lineno, line))

    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        before = warnings.formatwarning
        with warned_in_words():
            warnings.warn("is\n  deprecated", FutureWarning, stacklevel=1)
            warnings.warn("not\n  so good", UserWarning, stacklevel=1)
        assert (warnings.formatwarning, warnings.showwarning) == (before, show)
        monkeypatch.setattr(sys, "warnoptions", ["default"])
        with warned_in_words():
            warnings.warn("asked for", FutureWarning, stacklevel=1)
    assert re.fullmatch(r"not so good \(UserWarning, [^\n]*\)\n", lines[0])
    assert len(lines) == 2 and "FutureWarning: asked for" in lines[1]
