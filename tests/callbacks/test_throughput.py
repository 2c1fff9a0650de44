"""Images and seconds of training, and only of training."""

import pytest
import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks import device, throughput
from vit.callbacks.device import peak_flops, peak_memory
from vit.callbacks.throughput import Counters, Throughput
from vit.runs.record import read_records

pytestmark = LIGHTNING_TALKS


class Clock:
    """Stands still but for what a test spends, so that a busy machine changes nothing."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throughput, "perf_counter", clock)
    return clock


class Spends(lightning.Callback):
    def __init__(self, clock: Clock, hook: str, seconds: float):
        setattr(self, hook, lambda *_: clock.spend(seconds))


def test_every_image_and_batch_counts_once(tmp_path):
    toy = Toy(tmp_path).fit()
    assert toy.throughput.counters[:2] == (3 * 48, 3 * 6)


def test_validation_and_checkpoints_are_not_training_time(tmp_path, clock):
    work = Spends(clock, "on_after_backward", 0.25)
    others = ("on_validation_batch_start", "on_save_checkpoint", "on_train_epoch_end")
    slow = (Spends(clock, hook, 100.0) for hook in others)
    toy = Toy(tmp_path, extra=(work, *slow), every_n_steps=4).fit()
    assert toy.throughput.counters.seconds == 18 * 0.25


def test_a_slow_loader_shows_as_waiting_and_a_slow_step_does_not(tmp_path, clock):
    toy = Toy(tmp_path, epochs=1, extra=(Spends(clock, "on_after_backward", 0.75),))
    fetch = toy.train_loader.dataset.__getitems__
    toy.train_loader.dataset.__getitems__ = lambda keys: (clock.spend(0.25), fetch(keys))[1]
    told = toy.fit().throughput.counters
    assert told.seconds - told.waited == 6 * 0.75
    assert 0 < told.waited <= 5 * 0.25  # the first batches are fetched before the first step


def test_a_slow_callback_that_reads_the_counters_is_not_waiting(tmp_path, clock):
    class Flushes(lightning.Callback):
        def on_train_batch_end(self, *_):
            clock.spend(0.5)
            _ = toy.throughput.counters

    toy = Toy(tmp_path, epochs=1)
    toy.trainer.callbacks.insert(toy.trainer.callbacks.index(toy.throughput) + 1, Flushes())
    told = toy.fit().throughput.since(Counters())
    assert told["step_seconds"] == 0.5
    assert told["data_wait"] == 0.0


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
        ("NVIDIA L40S", "bf16-mixed", 362e12),
        ("NVIDIA RTX A4000", "bf16-mixed", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "bf16-mixed", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16-mixed", None),
        ("NVIDIA H200 NVL", "bf16-mixed", 835e12),
        ("NVIDIA H100 80GB HBM3", "32-true", 67e12),
        ("NVIDIA H100 80GB HBM3", "64-true", None),
        ("NVIDIA H100 80GB HBM3", "transformer-engine", None),
        ("NVIDIA RTX A4000", "32-true", None),
        ("Some Card", "bf16-mixed", None),
    ],
)
def test_peaks_are_told_by_name_and_precision(monkeypatch, name, precision, peak):
    monkeypatch.setattr(device.torch.cuda, "get_device_name", lambda _: name)
    assert peak_flops(torch.device("cuda:0"), precision) == peak
    assert peak_flops(torch.device("cpu"), precision) is None


def test_float32_by_tensor_cores_has_a_peak_of_its_own(monkeypatch):
    monkeypatch.setattr(device.torch.cuda, "get_device_name", lambda _: "NVIDIA A100-SXM4-40GB")
    monkeypatch.setattr(device.torch, "get_float32_matmul_precision", lambda: "high")
    assert peak_flops(torch.device("cuda:0"), "32-true") == 156e12


def test_the_peak_of_the_memory_is_that_of_the_process(tmp_path):
    before = peak_memory(torch.device("cpu"))
    assert before > 50e6  # no process that imported torch holds less
    held = torch.ones(50_000_000)  # 200 MB
    Toy(tmp_path, epochs=1).fit()
    told = [r.timing["peak_memory_mb"] for r in read_records(tmp_path / "metrics.jsonl")]
    assert told[0] * 1e6 >= held.nbytes
    assert told == sorted(told)
    assert peak_memory(torch.device("cpu")) <= told[-1] * 1e6 + 20e6
