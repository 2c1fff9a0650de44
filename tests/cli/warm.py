"""Runs commands in forks of itself: the imports, some seconds a command, are paid for once.

`commands.py` gives this text to a clean interpreter (`python -c`): nothing of pytest is in it, no
hook of jaxtyping, no filter of warnings, no thread. A fork lives and ends as `python -m vit` does,
by the interpreter's own end. Its own server of forks (vit/runs/process.py) is a fork as well.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path

from vit.runs.process import PRELOAD, PRELOAD_FOR_MANY, die_with_parent
from vit.runs.temporary import apart_from_the_compiled

COMMANDS = ["main", "compose", "train", "check", "evaluate", "predict", "export", "sweep", "screen"]
IMPORTED = ["hydra", *(f"vit.cli.{name}" for name in COMMANDS), *PRELOAD, *PRELOAD_FOR_MANY]
BY_EXEC = util.spawnv_passfds
OF_A_FORKSERVER = "from multiprocessing.forkserver import main"


def started(path, args, kept):
    """In place of multiprocessing's start of an interpreter, where that would be a forkserver."""
    if not args[-1].startswith(OF_A_FORKSERVER):
        return BY_EXEC(path, args, kept)
    sys.stdout.flush()  # or each of its children would print what waits there
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        _as_new(kept)
        exec(args[-1], {})
    except SystemExit:
        pass  # as its last client has ended
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    wandb_files.MEDIA_TMP.cleanup()
    os._exit(code)  # what the command is to do at its end is not for this process


def _as_new(kept):
    """Files, handlers and locks as an interpreter has them that has just begun."""
    low = 3
    for number in sorted(kept):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX") if low > 4096 else 4096)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    wandb_files.MEDIA_TMP.__init__("wandb-media")
    forkserver._forkserver.__init__()  # its lock is held: a server is being started
    resource_tracker._resource_tracker._fd = resource_tracker._resource_tracker._pid = None


def received(asks):
    """The next command and its streams; None once pytest has ended, even within a request."""
    head, streams, _, _ = socket.recv_fds(asks, 4, 2)
    if len(head) < 4:
        return None
    text, size = b"", int.from_bytes(head, "big")
    while len(text) < size:
        part = asks.recv(size - len(text))
        if not part:
            return None
        text += part
    return json.loads(text), streams


def become(request, streams):
    """What a new process is given: streams, variables, folder, words; and a group to be killed."""
    os.setpgid(0, 0)
    die_with_parent(signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams, 1):  # 0 is /dev/null, as the warm process has it
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    wandb_files.MEDIA_TMP.__init__("wandb-media")  # removed at the end of this process
    sys.argv = ["vit", *request["words"]]
    # The former objects remember what their files could do.
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        former = getattr(sys, name)
        told = {"encoding": former.encoding, "errors": former.errors, "closefd": False}
        stream = open(number, mode, buffering=1 if number == 2 else -1, **told)  # noqa: PTH123, SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def descendants():
    """All that this process and its forks have started and that has not ended."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has just ended
        if state not in "ZX":
            parents[int(folder.name)] = int(parent)
    known = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in known} - known:
        known |= more
    return known - {os.getpid()}


def kill_descendants():
    while left := descendants():  # again, since they may have started others meanwhile
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        reap()
        time.sleep(0.01)


def reap():
    """Those that outlived the command which had started them: this process is their parent now."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def leave(*_):
    kill_descendants()
    os._exit(0)


def outcome(child, asks, timeout):
    """The exit code, and whether it was killed for being late; leaves once pytest has ended."""
    ended = os.pidfd_open(child)
    ready = select.select([ended, asks], [], [], timeout)[0]
    os.close(ended)
    if asks in ready:  # no command is asked for before this one is answered
        leave()
    status = None
    if not ready:
        os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        kill_descendants()
    status = os.waitpid(child, 0)[1] if status is None else status
    return os.waitstatus_to_exitcode(status), not ready


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def serve(asks):
    """Returns in each fork, which is then to run `sys.argv`; ends this process with pytest."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of pytest's terminal
    signal.signal(signal.SIGTERM, leave)
    adopt_orphans()
    die_with_parent(signal.SIGTERM)
    while (asked := received(asks)) is not None:
        request, streams = asked
        before = cpu_seconds()
        child = os.fork()
        if not child:
            asks.close()
            become(request, streams)
            return
        with suppress(OSError):  # the child does it too: whoever is first
            os.setpgid(child, child)
        for stream in streams:
            os.close(stream)
        code, late = outcome(child, asks, request["timeout"])
        reap()
        answer = {"code": code, "late": late, "cpu_seconds": cpu_seconds() - before}
        asks.sendall(json.dumps(answer).encode() + b"\n")
    leave()


def adopt_orphans():
    """What a command leaves behind stays among our descendants, to be killed with us."""
    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER in <sys/prctl.h>
    ctypes.CDLL(None).prctl(set_child_subreaper, 1)


with apart_from_the_compiled():
    for name in IMPORTED:
        importlib.import_module(name)
threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
assert threads == 1, f"{threads} threads: those of an import would be missing in each fork"
wandb_files = importlib.import_module("wandb.sdk.data_types._private")  # wandb 0.31
wandb_files.MEDIA_TMP.cleanup()  # each fork makes its own
util.spawnv_passfds = started
gc.freeze()
serve(socket.socket(fileno=int(sys.argv[1])))
sys.exit(importlib.import_module("vit.cli.main").main())
