"""Images and seconds of training, and only of training."""

import time

import pytest
import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks import throughput
from vit.callbacks.throughput import Counters, Throughput, peak_flops

pytestmark = LIGHTNING_TALKS


class Sleeps(lightning.Callback):
    def __init__(self, hook: str, seconds: float):
        setattr(self, hook, lambda *_: time.sleep(seconds))


def test_every_image_and_batch_counts_once(tmp_path):
    toy = Toy(tmp_path).fit()
    assert toy.throughput.counters[:2] == (3 * 48, 3 * 6)


def test_validation_and_checkpoints_are_not_training_time(tmp_path):
    slow = (Sleeps("on_validation_batch_start", 0.1), Sleeps("on_save_checkpoint", 0.1))
    toy = Toy(tmp_path, extra=slow, every_n_steps=4).fit()
    assert toy.throughput.counters.seconds < 0.8  # of 18 steps; the sleeps alone are 1.2 s


def test_a_slow_loader_shows_as_waiting_and_a_slow_step_does_not(tmp_path):
    slow_step = Toy(tmp_path / "step", epochs=1, extra=(Sleeps("on_after_backward", 0.03),)).fit()
    toy = Toy(tmp_path / "data", epochs=1)
    fetch = toy.train_loader.dataset.__getitems__
    toy.train_loader.dataset.__getitems__ = lambda keys: (time.sleep(0.03), fetch(keys))[1]
    slow_data = toy.fit()
    assert slow_step.throughput.since(Counters())["data_wait"] < 0.3
    assert slow_data.throughput.since(Counters())["data_wait"] > 0.5


def test_a_slow_callback_that_reads_the_counters_is_not_waiting(tmp_path):
    class Flushes(lightning.Callback):
        def on_train_batch_end(self, *_):
            time.sleep(0.03)
            _ = toy.throughput.counters

    toy = Toy(tmp_path, epochs=1)
    toy.trainer.callbacks.insert(toy.trainer.callbacks.index(toy.throughput) + 1, Flushes())
    told = toy.fit().throughput.since(Counters())
    assert told["step_seconds"] > 0.03
    assert told["data_wait"] < 0.3


def test_rates_are_those_of_the_stretch_that_is_asked_for():
    meter = Throughput()
    meter._images, meter._batches, meter._seconds, meter._waited = 1000, 100, 20.0, 6.0
    since = meter.since(Counters(images=200, batches=20, seconds=10.0, waited=4.0))
    assert since == {"images_per_second": 80.0, "step_seconds": 0.125, "data_wait": 0.2}
    assert meter.since(meter.counters) == {}


def test_model_flops_over_the_peak_is_told_where_both_are_known():
    meter = Throughput()
    meter._images, meter._batches, meter._seconds = 1000, 10, 1.0
    meter._flops_per_image, meter._peak, meter._world_size = int(1e9), 100e12, 2
    # 1000 images a second × 3 × 1 GFLOP of 200 TFLOP/s
    assert meter.since(Counters())["mfu"] == pytest.approx(3e12 / 200e12)


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16-mixed", 989e12),
        ("NVIDIA H100 PCIe", "bf16-mixed", 756e12),
        ("NVIDIA A100-SXM4-40GB", "16-mixed", 312e12),
        ("NVIDIA L4", "bf16-true", 121e12),
        ("NVIDIA H100 80GB HBM3", "32-true", None),
        ("Some Card", "bf16-mixed", None),
    ],
)
def test_peaks_are_told_by_name_in_half_precision(monkeypatch, name, precision, peak):
    monkeypatch.setattr(throughput.torch.cuda, "get_device_name", lambda device: name)
    assert peak_flops(torch.device("cuda:0"), precision) == peak
    assert peak_flops(torch.device("cpu"), precision) is None
