"""One thread, no network, no wandb login: tests are the same on every machine."""

import os

os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of pytest share the cores
os.environ.pop("COLUMNS", None)  # of whoever runs the tests: lines would wrap

import gc
import signal
import sys
import time
from collections import Counter
from itertools import chain

import pytest
import torch

LONG_FILE = 20.0  # seconds of CPU
LOOP_SECONDS = 0.018  # a million empty turns, on the machine on which the tests were written
STARTS_PROCESSES = {"command", "true_command", "subprocess"}


def pytest_collection_modifyitems(items):
    """First the files that start processes, since they take long.

    With --dist loadfile one that begins last would leave the other processes of pytest idle.
    """
    items.sort(key=lambda item: STARTS_PROCESSES.isdisjoint(vars(item.module)))


used_before = 0.0


def used():
    """CPU seconds of this process, of those it started, and of commands in forks."""
    forks = getattr(sys.modules.get("commands"), "cpu_seconds", 0.0)
    return sum(os.times()[:4]) + forks


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    global used_before
    report = yield
    before, used_before = used_before, used()
    report.cpu_seconds = used_before - before
    return report


def pytest_runtest_logstart():
    global used_before
    used_before = used()


def pytest_terminal_summary(terminalreporter):
    """Which files to make quicker, wherever they ran: no other load of the machine counts."""
    files = Counter()
    for report in chain.from_iterable(terminalreporter.stats.values()):
        files[getattr(report, "fspath", "")] += getattr(report, "cpu_seconds", 0.0)
    long = [(file, seconds) for file, seconds in files.most_common() if seconds > LONG_FILE]
    if long:
        terminalreporter.section(f"files over {LONG_FILE:.0f} seconds of CPU")
        for file, seconds in long:
            terminalreporter.write_line(f"{seconds:6.1f} {file}")
        total = files.total()
        terminalreporter.write_line(f"{total:6.1f} all tests, without imports and collection")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def machine_slowness():
    """How many times slower than the machine on which the bounds of CPU seconds were set; ≥ 1."""

    def loop():
        began = time.process_time()
        for _ in range(10**6):
            pass
        return time.process_time() - began

    return max(1.0, min(loop() for _ in range(5)) / LOOP_SECONDS)


@pytest.fixture
def slowness(machine_slowness):
    """A bound of CPU seconds times this asks the same work of a crowded or an old machine.

    Meanwhile the garbage collector passes over what thousands of tests have left behind: it walks
    through all of that whenever a test makes many objects, and would count as the test's work.
    """
    gc.collect()
    gc.freeze()
    yield machine_slowness
    gc.unfreeze()


@pytest.fixture(autouse=True)
def same_numbers():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def the_environment_is_left_as_it_was():
    """Commands that are run here set what their child processes need."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def ctrl_c_counts():
    """A shell that starts pytest in the background has SIGINT ignored; here it is Python's own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory):
    """A run of each task: see tests/tiny_runs.py."""
    from tiny_runs import TinyRuns

    return TinyRuns(tmp_path_factory.mktemp("tiny"))
