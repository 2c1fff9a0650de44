"""One thread, no network, no wandb login: tests are the same on every machine."""

import os

os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of pytest share the cores
os.environ.pop("COLUMNS", None)  # of whoever runs the tests: lines would wrap

import signal

import pytest
import torch


STARTS_PROCESSES = {"command", "true_command", "subprocess"}


def pytest_collection_modifyitems(items):
    """First the files that start processes, since they take long.

    With --dist loadfile one that begins last would leave the other processes of pytest idle.
    """
    items.sort(key=lambda item: STARTS_PROCESSES.isdisjoint(vars(item.module)))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


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
