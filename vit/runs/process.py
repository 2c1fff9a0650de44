"""Fresh processes for checks and trainings, forked from a parent that has imported already.

Importing torch and Lightning takes seconds; a forkserver pays it once, while the config is still
being composed, and every child then starts with nothing but those imports: no thread, no open
device, no random state of another run. On systems without a forkserver children are spawned.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vit.faults import Refused
from vit.runs.one_line import warned_in_words
from vit.runs.own_packages import leave_current_folder
from vit.runs.temporary import (
    apart_from_the_compiled,
    clear_temporary_folders,
    give_sockets_room,
    own_temporary_folder,
    remove_if_nothing_was_compiled,
)
from vit.runs.writing import appending
from vit.terminal import printable

RANK_VARIABLES = (
    "LOCAL_RANK",
    "RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "LOCAL_WORLD_SIZE",
    "WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PL_GLOBAL_SEED",
    "PL_SEED_WORKERS",
    "TORCHELASTIC_RUN_ID",
)
# A started process looks after all others, and an exit code can be read only once: threads that
# start or ask must take turns.
CHILDREN = threading.Lock()
GRACE_SECONDS = 60.0  # for a checkpoint, once the driver is gone
TO_THE_GROUP = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # which the forkserver outlives
PRELOAD = ["vit.jobs.training", "vit.check.preflight"]
# What only some runs need: worth its seconds where many are to be started.
PRELOAD_FOR_MANY = ["timm", "timm.optim", "wandb", "sklearn.datasets", "vit.losses.classification"]


def warm_up(many: bool = False) -> None:
    """Starts the imports in the background; call it before anything slow.

    `many` imports also what single runs may not need.
    """
    strip_rank_variables()
    same_code_for_children()
    clear_temporary_folders()
    give_sockets_room()
    atexit.register(remove_if_nothing_was_compiled)
    modules = [*PRELOAD, *(PRELOAD_FOR_MANY if many else [])]
    if "forkserver" in multiprocessing.get_all_start_methods() and sys.platform != "darwin":
        multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
        # A signal to the whole group, as `timeout` and schedulers send it, is for the runs: were
        # the forkserver to die of it, they would be lost to this process while they save.
        multiprocessing.resource_tracker.ensure_running()  # its start unblocks SIGTERM
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_THE_GROUP)
        try:
            with apart_from_the_compiled():
                multiprocessing.forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def same_code_for_children() -> None:
    """Python puts the current folder first on a child's path: a `vit/` there would be run instead.

    So does a PYTHONPATH with an empty or relative part. What lies in that folder is found only by
    the names that the user allows: see vit/runs/own_packages.py.
    """
    leave_current_folder()
    os.environ["PYTHONSAFEPATH"] = "1"
    home = Path(__file__).parents[2]
    places = [] if "site-packages" in home.parts else [str(home)]
    for place in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if Path(place).is_absolute() and place not in places:
            places.append(place)
    os.environ["PYTHONPATH"] = os.pathsep.join(places)


def strip_rank_variables() -> None:
    """A run's processes are this parent's own; what an outer launcher left would mislead them."""
    for name in RANK_VARIABLES:
        os.environ.pop(name, None)


def call(function: str, *arguments: object) -> Any:
    """What `module:function` returns, or the Refused it raises, from a fresh process.

    It is named, not given, so that the parent need not import it. Raises OSError where the system
    refused the child something, and RuntimeError with its traceback for any other exception.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(sender, function, arguments))
    with CHILDREN:
        child.start()
    sender.close()
    try:
        kind, answer = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"the process died with exit code {child.exitcode}") from None
    child.join()
    if kind == "refused":
        raise Refused(answer[0], hint=answer[1])
    if kind == "system":
        raise OSError(*answer)
    if kind == "raised":
        raise RuntimeError(answer)
    return answer


def run(function: str, *arguments: object, environment: Mapping[str, str] | None = None) -> int:
    """The exit code that `module:function` returns in a fresh process; signals are passed on.

    Its environment is this one's as it was at `warm_up`, and `environment`.
    """
    child = _context().Process(target=_run, args=(function, arguments, dict(environment or {})))
    child.start()
    with passed_on(child.terminate):
        while child.is_alive():
            with suppress(KeyboardInterrupt):  # the child got it too: it saves, then ends
                child.join()
    code = child.exitcode
    assert code is not None
    return code if code >= 0 else 128 - code


@contextmanager
def passed_on(terminate: Callable[[], None]) -> Iterator[None]:
    """Answers SIGTERM, and what schedulers may send instead, by ending the child in order."""
    numbers = [signal.SIGTERM]
    warnings = (signal.SIGUSR1, signal.SIGUSR2)
    numbers += [number for number in warnings if signal.getsignal(number) is signal.SIG_DFL]
    before = {number: signal.signal(number, lambda *_: terminate()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unstopped(is_done: Callable[[], bool]) -> Iterator[None]:
    """A SIGTERM within is too late to be a failure: it ends the process with 0 once that is so."""

    def leave(*_: object) -> None:
        if is_done():
            sys.exit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def start(
    function: str, arguments: tuple[Any, ...], environment: dict[str, str], console: str
) -> Any:
    """A fresh process, in a session of its own, in which `module:function` gives the exit code.

    Its environment is this one's as it was at `warm_up`, and `environment`; what it prints is
    added to the file `console`.
    """
    child = _context().Process(target=_apart, args=(function, arguments, environment, console))
    with CHILDREN:
        child.start()
    return child


def _run(function: str, arguments: tuple[Any, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    _exit_with(function, arguments)


def _apart(
    function: str, arguments: tuple[Any, ...], environment: dict[str, str], console: str
) -> None:
    os.setsid()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # a cluster's warning is for the job's parent
    os.environ.update(environment)
    with appending(Path(console)) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    _exit_with(function, arguments)


def _context() -> Any:
    give_sockets_room()
    forked = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return multiprocessing.get_context("forkserver" if forked else "spawn")


def _named(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _answer(sender: Connection, function: str, arguments: tuple[Any, ...]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_THE_GROUP)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of this terminal: the driver's to answer
    end_with_driver()
    try:
        with own_temporary_folder(), warned_in_words():
            message: tuple[str, Any] = ("answer", _named(function)(*arguments))
    except Refused as refused:
        message = ("refused", (refused.faults, refused.hint))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        message = ("raised", traceback.format_exc())
        if isinstance(error, OSError) and error.errno is not None:
            message = ("system", (error.errno, error.strerror, error.filename))
    sender.send(message)


def _exit_with(function: str, arguments: tuple[Any, ...]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_THE_GROUP)
    end_with_driver()
    try:
        with own_temporary_folder():
            code = _named(function)(*arguments)
        sys.exit(code)
    except Refused as refused:
        print(printable(str(refused)), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def end_with_driver() -> None:
    """A run whose driver was killed saves and ends.

    The parent of a forked child is the forkserver, which lives as long as any of its children; so
    a thread waits for the end of the process that asked for this one.
    """
    driver = multiprocessing.parent_process()
    if driver is not None:
        threading.Thread(target=_outlive, args=(driver.sentinel,), daemon=True).start()


def _outlive(driver: int) -> None:
    connection.wait([driver])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL) if os.getsid(0) == os.getpid() else os._exit(137)


def die_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """For a process whose parent started it directly (Linux only; a no-op elsewhere)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, how)
        if os.getppid() == 1:
            os.kill(os.getpid(), how)  # it died before it was asked about
