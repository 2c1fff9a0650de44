"""Every number that is written is the right one, at the right step."""

import logging

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers.logger import Logger
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.record import Record
from vit.runs.record import read_records

pytestmark = LIGHTNING_TALKS


class Losses(lightning.Callback):
    """The loss, rate and gradient norm of each step, taken by hand."""

    def __init__(self):
        self.losses, self.rates, self.norms = [], [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])
        gradients = torch.cat([p.grad.flatten() for p in pl_module.parameters()])
        self.norms.append(gradients.norm().item())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


def recorded(folder, name):
    records = read_records(folder / "metrics.jsonl")
    return {r.step: r.metrics[name] for r in records if name in r.metrics}


def test_means_are_over_the_steps_since_the_last_line(tmp_path):
    watch = Losses()
    Toy(tmp_path, extra=(watch,), gradient_clip_val=0.1).fit()
    mean = {
        step: sum(watch.losses[first:step]) / (step - first)
        for first, step in [(0, 4), (4, 6), (6, 8), (8, 12), (12, 16), (16, 18)]
    }
    assert recorded(tmp_path, "train/loss") == pytest.approx(mean)
    # Taken at every fourth step, before clipping.
    assert recorded(tmp_path, "train/grad_norm") == pytest.approx(
        {step: watch.norms[step - 1] for step in (4, 8, 12, 16)}
    )
    assert recorded(tmp_path, "lr") == {step: watch.rates[step - 1] for step in (4, 8, 12, 16)}


def test_accumulated_batches_are_one_step(tmp_path):
    watch = Losses()
    Toy(tmp_path, extra=(watch,), accumulate=2).fit()
    losses = [2 * loss for loss in watch.losses]  # Lightning's are shares of a step's
    assert recorded(tmp_path, "train/loss")[4] == pytest.approx(sum(losses[:8]) / 8)
    assert recorded(tmp_path, "train/loss")[6] == pytest.approx(sum(losses[8:12]) / 4)
    assert set(recorded(tmp_path, "train/loss")) == {4, 6, 8, 12, 16, 18}


def test_each_validation_is_written_at_its_step(tmp_path):
    toy = Toy(tmp_path).fit()
    got = recorded(tmp_path, "val/loss")
    assert set(got) == {6, 12, 18}
    assert got[18] == float(toy.trainer.callback_metrics["val/loss"])
    epochs = [r.epoch for r in read_records(tmp_path / "metrics.jsonl")]
    assert epochs == [0, 0, 1, 1, 2, 2]


def test_results_and_clock_lie_apart(tmp_path):
    Toy(tmp_path).fit()
    records = read_records(tmp_path / "metrics.jsonl")
    timing = {name for record in records for name in record.timing}
    metrics = {name for record in records for name in record.metrics}
    assert timing == {"images_per_second", "step_seconds", "data_wait", "peak_memory_mb"}
    assert not timing & metrics


def test_trackers_get_the_same_numbers_at_the_same_steps_with_the_epoch(tmp_path):
    class Tracker(Logger):
        name, version, got = "tracker", "0", ()

        def log_metrics(self, metrics, step=None):
            self.got += ((step, dict(metrics)),)

        def log_hyperparams(self, *args, **kwargs): ...

    tracker = Tracker()
    toy = Toy(tmp_path)
    toy.trainer.loggers = [tracker]
    toy.fit()
    sent: dict[int, dict[str, float]] = {}
    for step, metrics in tracker.got:
        sent.setdefault(step, {}).update(metrics)
    for record in read_records(tmp_path / "metrics.jsonl"):
        expected = record.metrics | {"epoch": record.epoch}
        expected |= {f"timing/{name}": value for name, value in record.timing.items()}
        assert sent[record.step] == expected


def test_the_log_has_a_line_for_each_epoch(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="vit"):
        Toy(tmp_path, check_val_every_n_epoch=2).fit()
    lines = [r.getMessage() for r in caplog.records if r.name == "vit"]
    assert len(lines) == 3
    assert lines[1].startswith("epoch 2/3  step 12  train/loss ")
    assert ["val/accuracy" in line for line in lines] == [False, True, False]
    assert "images/s" in lines[1]


class Breaks(lightning.Callback):
    """Makes the weights NaN after a step, so that the next loss is."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches = [*getattr(self, "batches", []), batch.index.tolist()]
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(torch.nan)


def test_a_loss_that_is_nan_ends_the_run_and_names_step_and_images(tmp_path):
    breaks = Breaks(9)
    with pytest.raises(FloatingPointError) as told:
        Toy(tmp_path, extra=(breaks,)).fit()
    assert "at step 9 (epoch 1)" in str(told.value)
    assert ", ".join(str(image) for image in breaks.batches[9]) in str(told.value)
    # Told at the next line that is written, not sooner and not much later.
    assert len(breaks.batches) == 12


def test_the_batch_that_broke_the_loss_is_handed_on_to_be_kept(tmp_path):
    handed = []

    def keep(step: int, epoch: int, samples: list[int]) -> str:
        handed.append((step, epoch, samples))
        return "It is kept. "

    breaks = Breaks(9)
    toy = Toy(tmp_path, extra=(breaks,))
    (record,) = (callback for callback in toy.trainer.callbacks if isinstance(callback, Record))
    record._keep = keep
    with pytest.raises(FloatingPointError, match=r"It is kept\. Lower optim\.lr"):
        toy.fit()
    assert handed == [(9, 1, breaks.batches[9])]


@pytest.mark.parametrize(
    ("every_n_steps", "said"), [(1, "after step 9 .*, first model.1.weight"), (5, "at step 9 ")]
)
def test_broken_weights_replace_no_checkpoint(tmp_path, every_n_steps, said):
    settings = {"every_n_steps": every_n_steps, "log_every_n_steps": 50}
    with pytest.raises(FloatingPointError, match=said):
        Toy(tmp_path, extra=(Breaks(9),), **settings).fit()
    for name in ("last", "best"):
        checkpoint = torch.load(tmp_path / f"{name}.ckpt", weights_only=True)
        assert all(v.isfinite().all() for v in checkpoint["state_dict"].values())
