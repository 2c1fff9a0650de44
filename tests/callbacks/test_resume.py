"""Training N steps equals training k, stopping, and training the rest: bit for bit."""

import random
import signal
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.checkpoints.resume import random_states, restore_random_states
from vit.callbacks.ema import Ema
from vit.optim.optimizer import Optim
from vit.runs.record import read_records

pytestmark = LIGHTNING_TALKS


class Dies(lightning.Callback):
    """Kills the run after some optimizer steps, as a crash does: nothing is saved on the way."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            raise RuntimeError("killed")


class Interrupted(Dies):
    """Sends Ctrl-C in the middle of a step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGINT)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        pass


def outcome(folder: Path) -> dict[str, object]:
    """All that a run leaves but its clock."""
    told = {}
    for name in ("last", "best"):
        checkpoint = torch.load(folder / f"{name}.ckpt", weights_only=True)
        told |= {
            f"{name}.{key}": value.numpy().tobytes()
            for part in ("state_dict", "trained_weights")
            for key, value in checkpoint.get(part, {}).items()
        }
        told[f"{name}.random"] = checkpoint["exact_resume"]["processes"][0]["random"][
            "torch"
        ].tolist()
        told[f"{name}.callbacks"] = checkpoint["callbacks"]
        told[f"{name}.step"] = checkpoint["global_step"]
        states = checkpoint["optimizer_states"][0]["state"].values()
        told[f"{name}.optimizer"] = [
            [v.tolist() if isinstance(v, torch.Tensor) else v for v in state.values()]
            for state in states
        ]
    told["metrics"] = [
        (record.step, record.epoch, record.metrics)
        for record in read_records(folder / "metrics.jsonl")
    ]
    return told


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if one[key] != other[key]] == []


def cut_off(folder: Path, *stops: lightning.Callback, **settings) -> dict[str, object]:
    """A run that is stopped by each of these in turn, and resumed after each."""
    for stop in stops:
        with pytest.raises((RuntimeError, SystemExit)):
            Toy(folder, extra=(*averages(settings), stop), **settings).fit()
    Toy(folder, extra=averages(settings), **settings).fit()
    return outcome(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run with these settings leaves when nothing stops it; each is run once."""
    known: dict[str, dict[str, object]] = {}

    def run(**settings) -> dict[str, object]:
        key = repr(settings)
        if key not in known:
            folder = tmp_path_factory.mktemp("whole")
            Toy(folder, extra=averages(settings), **settings).fit()
            known[key] = outcome(folder)
        return known[key]

    return run


def averages(settings: dict) -> tuple[lightning.Callback, ...]:
    return () if "optim" in settings else (Ema(decay=0.9),)


class Terminated(Interrupted):
    """SIGTERM in the middle of a step, as from a scheduler; Lightning answers after the batch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.fit_loop.total_batch_idx == self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("step", [1, 5, 6, 8, 13, 17])
def test_a_run_stopped_by_ctrl_c_at_any_step_ends_as_if_it_had_not_been(tmp_path, whole, step):
    expected = whole()
    assert_same(cut_off(tmp_path, Interrupted(step)), expected)


def test_workers_that_fetch_ahead_change_nothing(tmp_path, whole):
    expected = whole()
    got = cut_off(tmp_path, Interrupted(3), Interrupted(11), Interrupted(14), workers=2)
    assert_same(got, expected)


@pytest.mark.parametrize("step", [3, 9, 12, 17])
def test_a_run_that_crashes_goes_on_from_its_last_checkpoint(tmp_path, whole, step):
    expected = whole(every_n_steps=4)
    assert_same(cut_off(tmp_path, Dies(step), every_n_steps=4), expected)


@pytest.mark.parametrize("batch", [2, 5, 12, 13, 22])
def test_sigterm_between_accumulated_batches_loses_no_gradient(tmp_path, whole, batch):
    settings = {"accumulate": 2, "log_every_n_steps": 3}
    expected = whole(**settings)
    assert_same(cut_off(tmp_path, Terminated(batch), **settings), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"val_check_interval": 3, "every_n_steps": 1},
        {"val_check_interval": 4, "check_val_every_n_epoch": None, "every_n_steps": 2},
        {"check_val_every_n_epoch": 2, "every_n_steps": 5},
        {"max_steps": 16, "epochs": -1, "every_n_steps": 5},
        {"max_steps": 18, "epochs": 9},
        {"limit_train_batches": 5, "limit_val_batches": 1, "every_n_steps": 2},
        {"overfit_batches": 5, "every_n_steps": 3},
        {"optim": Optim(name="schedulefree", lr=0.01), "every_n_steps": 5},
    ],
    ids=lambda settings: "-".join(settings) if isinstance(settings, dict) else None,
)
def test_no_setting_of_the_loop_makes_a_resumed_run_differ(tmp_path, whole, settings):
    stops = Interrupted(2), Dies(6), Interrupted(8), Dies(13)
    expected = whole(**settings)
    assert_same(cut_off(tmp_path, *stops, **settings), expected)


def test_the_comparison_sees_a_run_of_another_order(tmp_path, whole):
    class Shifted(lightning.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 15:
                torch.rand(1)  # one number more from the generator that dropout draws from

    expected = whole()
    Toy(tmp_path, extra=(*averages({}), Shifted())).fit()
    other = outcome(tmp_path)
    assert [key for key in expected if expected[key] != other[key]]


def test_random_states_come_back():
    states = random_states(torch.device("cpu"))
    drawn = torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()
    restore_random_states(states, torch.device("cpu"))
    assert drawn == (torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random())
