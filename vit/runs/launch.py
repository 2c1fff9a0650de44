"""A run's processes, started beside this one: one process, or as many as promised under torchrun.

They form a session of their own: Ctrl-C on this terminal is this process's to answer, which stops
each run in order, and a kill reaches all of a run's processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import connection
from typing import Any

from vit.runs import process
from vit.runs.directory import RunFolder
from vit.runs.environment import handed_on


class Launched:
    """One run in training."""

    def __init__(self, child: Any):
        self._child = child
        self.pid: int = child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + the signal where one ended it."""
        with process.CHILDREN:
            code = self._child.exitcode
        return 128 - code if code is not None and code < 0 else code

    def wait(self, seconds: float) -> None:
        """Until it ends, for `seconds` at most."""
        connection.wait([self._child.sentinel], seconds)

    def stop(self) -> None:
        """It saves a checkpoint, then ends."""
        self._child.terminate()

    def kill(self) -> None:
        """All processes of its session group at once; those of other ranks die with their agent."""
        with suppress(ProcessLookupError):
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not made its session yet
                os.kill(self.pid, signal.SIGKILL)
        connection.wait([self._child.sentinel])


def launch(
    folder: RunFolder,
    config: dict[str, Any],
    environment: Mapping[str, str],
    allowed: tuple[str, ...],
) -> Launched:
    """Starts a frozen folder's training; what it says goes to console.txt.

    `allowed` are the packages that whoever starts it trusts, whatever the folder says.
    """
    count = config["trainer"]["devices"]
    if count > 1:
        function = "vit.runs.torchrun:train_together"
        arguments: tuple[Any, ...] = (folder, count, config["threads"], allowed)
    else:
        function, arguments = "vit.jobs.training:train", (folder.path, allowed)
    # The processes' warm parent knows the variables as they were when it began.
    inherited = handed_on(config)
    console = str(folder.console_file)
    child = process.start(function, arguments, {**inherited, **environment}, console)
    return Launched(child)
