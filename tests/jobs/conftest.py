"""Trainings and evaluations run as processes do, without Lightning's own remarks."""

import warnings

import pytest


@pytest.fixture(autouse=True)
def lightnings_own_remarks():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated", FutureWarning)  # torch 2.14
        yield
