"""A run whose last checkpoint is bad is refused before it trains, and its files are left alone."""

import warnings

import pytest
import torch

from vit.cli.compose import compose
from vit.jobs.training import REFUSED, train
from vit.runs.checkpoint import read_checkpoint, write_checkpoint
from vit.runs.directory import RunFolder

WORDS = [
    "experiment=digits",
    "backbone.dim=8",
    "backbone.heads=2",
    "backbone.depth=1",
    "optim=adamw",
    "schedule.warmup_epochs=0",
    "trainer.max_steps=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "tracking=none",
    "threads=1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "run")
    folder.freeze(compose(WORDS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert train(folder.path) == 0
    return folder


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), "is cut short"),
        (lambda path: _with_weights(path, "model.head.linear.weight"), "wanted (10, 8)"),
        (lambda path: _weights_alone(path), "lacks loops, optimizer_states, exact_resume"),
    ],
)
def test_it_is_refused_and_nothing_changes(trained, spoil, message):
    last = trained.last_checkpoint
    sound = last.read_bytes()
    spoil(last)
    spoilt = last.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert train(trained.path) == REFUSED
        state = trained.state()
        assert state.name == "failed" and state.kind == "refused"
        assert message in state.error and "last.ckpt" in state.error
        assert last.read_bytes() == spoilt
    finally:
        last.write_bytes(sound)


def _weights_alone(path):
    write_checkpoint({"state_dict": read_checkpoint(path)["state_dict"]}, path)


def _with_weights(path, name):
    content = read_checkpoint(path)
    content["state_dict"][name] = torch.zeros(3, 3)
    write_checkpoint(content, path)
