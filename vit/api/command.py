"""A command in a process of its own, as a shell would start it, with its words on our screen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from vit.faults import Fault, Refused
from vit.terminal import printable

REFUSED, STOPPED = 2, 130
# Of a training's lines: how far it is, and of a sweep which trial has ended.
SHOWN = ("epoch ", "done ", "failed ", "pruned ")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it wrote to stdout and stderr."""

    code: int
    output: str
    errors: str


def run_command(words: list[str], *, progress: bool = False) -> Ended:
    """`vit WORDS…` to its end; with `progress` how far it is, as `_follow` shows it.

    Ctrl-C, or a notebook's stop button, reaches the command as Ctrl-C: it saves, and ends.
    """
    command = [sys.executable, "-P", "-m", "vit", *words]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            start_new_session=True,  # else a terminal's Ctrl-C would reach it beside ours
        ) as child,
    ):
        assert child.stdout is not None
        said: list[str] = []
        while True:
            try:
                _follow(child.stdout, said, progress)
                code = child.wait()
                break
            except KeyboardInterrupt:  # once to the whole group, as a terminal sends it
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGINT)
        errors.seek(0)
        return Ended(code, "".join(said), errors.read())


def _follow(output: Iterable[str], said: list[str], progress: bool) -> None:
    """On a screen one line that changes; into a file or a pipe a line each."""
    changes = _line_can_change()
    widest = min(shutil.get_terminal_size((120, 24)).columns - 1, 120) if changes else None
    shown = 0
    for line in output:
        said.append(line)
        if progress and line.startswith(SHOWN):
            text = printable(line.rstrip())[:widest]
            sys.stdout.write(f"\r{text:<{shown}}" if changes else f"{text}\n")
            sys.stdout.flush()
            shown = len(text) if changes else 0
    if shown:
        sys.stdout.write("\n")


def _line_can_change() -> bool:
    """Whether what follows a carriage return is written over the line: on a terminal, and in a
    notebook, whose stream is none but knows it."""
    if type(sys.stdout).__module__.partition(".")[0] == "ipykernel":
        return True
    try:
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # of whoever put another stream there, or closed it
        return False


def require_success(code: int, output: str, errors: str) -> str:
    """`output`. Raises Refused with the command's own faults, or RuntimeError where it failed."""
    if code == 0:
        return output
    text = errors.strip() or output.strip() or f"ended with exit code {code}"
    if code == REFUSED:
        lines = [line.strip() for line in text.splitlines()]
        if lines[0].startswith("usage: "):  # argparse's, behind which it says what is wrong
            lines = [text.partition(": error: ")[2] or text]
        raise Refused(
            [Fault("", line) for line in lines if line and line[:7] != "refused"]
            or [Fault("", text)]
        )
    raise RuntimeError(text)
