"""Runs commands in forks of itself: the imports, some seconds a command, are paid for once.

`commands.py` gives this text to a clean interpreter (`python -c`): nothing of pytest is in it, no
hook of jaxtyping, no filter of warnings, no thread. A fork lives and ends as `python -m vit` does,
by the interpreter's own end. Its own server of forks (vit/runs/process.py) is a fork as well.
"""

import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
import threading
from multiprocessing import forkserver, resource_tracker, util

from vit.runs.process import PRELOAD
from vit.runs.temporary import apart_from_the_compiled

COMMANDS = ["main", "compose", "train", "check", "evaluate", "predict", "export", "sweep", "screen"]
# Not wandb, nor timm, which imports it: its folder for pictures goes with the first fork that ends.
IMPORTED = ["hydra", *(f"vit.cli.{name}" for name in COMMANDS), *PRELOAD, "sklearn.datasets"]
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
    try:
        _as_new(kept)
        exec(args[-1], {})
    except SystemExit:
        pass  # as its last client has ended
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)  # what the command is to do at its end is not for this process


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
    forkserver._forkserver.__init__()  # its lock is held: a server is being started
    resource_tracker._resource_tracker._fd = resource_tracker._resource_tracker._pid = None


def received(asks):
    """The next command and its streams; None once pytest has ended."""
    head, streams, _, _ = socket.recv_fds(asks, 4, 3)
    if not head:
        return None
    missing = struct.unpack("!I", head)[0]
    text = b""
    while len(text) < missing:
        text += asks.recv(missing - len(text))
    return json.loads(text), streams


def become(request, streams):
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["vit", *request["words"]]
    # The former objects remember what their files could do.
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        former = getattr(sys, name)
        told = {"encoding": former.encoding, "errors": former.errors, "closefd": False}
        stream = open(number, mode, buffering=1 if number == 2 else -1, **told)  # noqa: PTH123, SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def serve(asks):
    """Returns in each fork, which is then to run `sys.argv`; ends this process with pytest."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of pytest's terminal
    while (asked := received(asks)) is not None:
        child = os.fork()
        if not child:
            asks.close()
            become(*asked)
            return
        for stream in asked[1]:
            os.close(stream)
        asks.sendall(struct.pack("!i", child))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        asks.sendall(struct.pack("!i", code))
    os._exit(0)


with apart_from_the_compiled():
    for name in IMPORTED:
        importlib.import_module(name)
assert threading.active_count() == 1 and "wandb" not in sys.modules
util.spawnv_passfds = started
gc.freeze()
serve(socket.socket(fileno=int(sys.argv[1])))
sys.exit(importlib.import_module("vit.cli.main").main())
