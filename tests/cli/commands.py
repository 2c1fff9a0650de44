"""Whole commands for tests, as `python -m vit` in a process of its own gives them, but sooner.

With VIT_WARM_TESTS=1 `command` asks a warm process (`warm.py`, one for each process of pytest) for
a fork that runs it: not yet the rule, since a whole suite that ran so has not been seen.
Tests of signals, terminals, kills and imports start true processes; so does `command` where a
variable of the environment is another one than pytest was started with, since libraries read some
when they are imported.
"""

import atexit
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

# wandb reads its own when a run begins; the others are set by what the warm process imports too.
READ_LATE = re.compile(
    "COLUMNS|PYTEST_CURRENT_TEST|WANDB_.*|KMP_INIT_AT_FORK|KMP_DUPLICATE_LIB_OK"
    "|PYTORCH_NVML_BASED_CUDA_CHECK|TORCHINDUCTOR_CACHE_DIR"
)
WARM = os.environ.get("VIT_WARM_TESTS") == "1" and hasattr(socket, "recv_fds")
AT_FIRST = dict(os.environ)
HOME = Path(__file__).parents[2]


def true_command(*words, code=0, cwd=None, environment=None, timeout=300):
    """The same from a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "vit", *map(str, words)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        cwd=cwd,
        env=_environment(environment),
        check=False,
    )
    return _of_code(done, code)


def command(*words, code=0, cwd=None, environment=None, timeout=300):
    """What `vit WORDS…` printed; `code` is its exit code, None where any will do.

    `environment` is added to pytest's own, as it is at this moment; None takes a variable away.
    """
    whole = _environment(environment)
    if not WARM or _is_read_by_imports(whole) or sys.platform == "darwin":
        return true_command(*words, code=code, cwd=cwd, environment=environment, timeout=timeout)
    done = _warm().run([*map(str, words)], str(cwd or Path.cwd()), whole, timeout)
    return _of_code(done, code)


class Warm:
    """The process that forks, and the end of the line to it."""

    def __init__(self):
        self.line, theirs = socket.socketpair()
        self.owner = os.getpid()
        path = os.pathsep.join(filter(None, [str(HOME), AT_FIRST.get("PYTHONPATH")]))
        program = Path(__file__).with_name("warm.py").read_text()
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**AT_FIRST, "PYTHONPATH": path},
        )
        theirs.close()
        atexit.register(self.close)

    def run(self, words, folder, environment, timeout):
        pipes = [os.pipe() for _ in range(2)]
        with Path(os.devnull).open("rb") as nothing:
            streams = [nothing.fileno(), *(write for _, write in pipes)]
            text = json.dumps({"words": words, "folder": folder, "environment": environment})
            socket.send_fds(self.line, [struct.pack("!I", len(text.encode()))], streams)
            self.line.sendall(text.encode())
        for _, write in pipes:
            os.close(write)
        said = [b"", b""]
        readers = [
            threading.Thread(target=_read, args=(read, said, number), daemon=True)
            for number, (read, _) in enumerate(pipes)
        ]
        for reader in readers:
            reader.start()
        child = self._number()
        late = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
        began = time.monotonic()
        late.start()
        try:
            code = self._number()
        finally:
            late.cancel()
        for reader in readers:
            reader.join(timeout)  # what the command has started may hold its streams, too
        if code == -signal.SIGKILL and time.monotonic() - began >= timeout:
            raise subprocess.TimeoutExpired(words, timeout, *said)
        out, err = (text.decode(errors="replace").replace("\r\n", "\n") for text in said)
        return subprocess.CompletedProcess(words, code, out, err)

    def _number(self):
        told = self.line.recv(4, socket.MSG_WAITALL)
        assert len(told) == 4, "the warm process has ended: its errors are above"
        return struct.unpack("!i", told)[0]

    def close(self):
        if os.getpid() == self.owner:
            self.line.close()
            self.process.wait(10)


_kept = []


def _warm():
    if not _kept:
        _kept.append(Warm())
    return _kept[0]


def _read(pipe, said, number):
    with os.fdopen(pipe, "rb") as file:
        said[number] = file.read()


def _environment(more):
    whole = {**os.environ, "COLUMNS": "100", **(more or {})}
    return {name: value for name, value in whole.items() if value is not None}


def _is_read_by_imports(environment):
    names = {*environment, *AT_FIRST}
    changed = [name for name in names if environment.get(name) != AT_FIRST.get(name)]
    return not all(map(READ_LATE.fullmatch, changed))


def _of_code(done, code):
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done
