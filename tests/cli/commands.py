"""Whole commands for tests, as `python -m vit` in a process of its own gives them, but sooner.

`command` asks a warm process (`warm.py`, one for each process of pytest) for a fork that runs it.
Tests of signals, terminals, kills and imports start true processes; so does `command` where a
variable of the environment is another one than pytest was started with, since libraries read some
when they are imported. VIT_WARM_TESTS=0 starts true processes only.
"""

import atexit
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

# wandb and vit read theirs when they need them; the others are set by what the warm process
# imports too.
READ_LATE = re.compile(
    "COLUMNS|PYTEST_CURRENT_TEST|WANDB_.*|VIT_DATA|XDG_CACHE_HOME|KMP_INIT_AT_FORK"
    "|KMP_DUPLICATE_LIB_OK|PYTORCH_NVML_BASED_CUDA_CHECK|TORCHINDUCTOR_CACHE_DIR"
)
WARM = os.environ.get("VIT_WARM_TESTS") != "0" and hasattr(os, "pidfd_open")
AT_FIRST = dict(os.environ)
HOME = Path(__file__).parents[2]
STARTS = 120  # seconds for the imports of the warm process, on a busy machine
# A thread that an import has begun would be missing in a fork, which would wait for it.
NO_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow 26, which pandas imports
}
cpu_seconds = 0.0  # of all commands, and of what they have started


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
    After `timeout` seconds the command and all that it has started are killed, and
    TimeoutExpired says what it had printed until then.
    """
    whole = _environment(environment)
    if not WARM or _is_read_by_imports(whole):
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
        # Not pytest's streams: who reads them to their end would wait for this process.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            env={**AT_FIRST, **NO_THREADS, "PYTHONPATH": path},
        )
        theirs.close()
        atexit.register(self.close)

    def run(self, words, folder, environment, timeout):
        # Files, not pipes: what the command has started may hold its streams long after its end.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            request = {"words": words, "folder": folder, "environment": environment}
            try:
                answer = self._answer({**request, "timeout": timeout}, [out.fileno(), err.fileno()])
            except BaseException:  # Ctrl-C, too: its answer would be taken for the next one's
                self.close()
                raise
            said = [_read(file) for file in (out, err)]
        global cpu_seconds
        cpu_seconds += answer["cpu_seconds"]
        if answer["late"]:
            late = subprocess.TimeoutExpired(words, timeout, *said)
            late.add_note("it had printed:\n" + "".join(said))
            raise late
        return subprocess.CompletedProcess(words, answer["code"], *said)

    def _answer(self, request, streams):
        try:
            return self._asked(request, streams)
        except (ConnectionError, EOFError) as error:
            self.process.wait(10)
            raise AssertionError(f"the warm process has ended: {_read(self.errors)}") from error

    def _asked(self, request, streams):
        text = json.dumps(request).encode()
        self.line.settimeout(request["timeout"] + STARTS)
        socket.send_fds(self.line, [len(text).to_bytes(4, "big")], streams)
        self.line.sendall(text)
        received = b""
        while not received.endswith(b"\n"):
            part = self.line.recv(4096)
            if not part:
                raise EOFError
            received += part
        return json.loads(received)

    def close(self):
        """Its line is cut, so it kills what it has started and ends, as when pytest is killed."""
        if os.getpid() != self.owner:
            return
        if self in _kept:
            _kept.remove(self)
        self.line.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


_kept = []


def _warm():
    if not _kept:
        _kept.append(Warm())
    return _kept[0]


def _read(file):
    file.seek(0)
    return file.read().decode(errors="replace").replace("\r\n", "\n")


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
