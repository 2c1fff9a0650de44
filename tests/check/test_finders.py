import math

import pytest

import vit.check.finders as subject
from vit.check.preflight import preflight
from vit.cli.compose import compose

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),  # Lightning on torch 2.14
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]
SMALL = ["experiment=digits", "backbone.dim=32", "backbone.depth=1", "threads=1", "tracking=none"]


def test_one_search_serves_all_rates_and_seeds_of_a_shape():
    words = ["seed=1", "optim.lr=0.1", "backbone.depth=2", "optim.weight_decay=0.0"]
    configs = [compose(SMALL), *(compose([*SMALL, word]) for word in words)]
    assert subject.shapes(configs) == [[0, 1, 2], [3], [4]]


def test_the_steepest_fall_is_found_and_its_noise_is_not():
    rates = [10 ** (-5 + step / 30) for step in range(150)]
    noise = [0.01 * math.sin(7 * step) for step in range(150)]
    fall = [2.3 - 1 / (1 + math.exp(-(step - 90) / 4)) + n for step, n in enumerate(noise)]
    found = subject.steepest(rates, [*fall[:120], 3.0, 5.0, 20.0])
    low, high = found["lr_range"]
    assert rates[84] < found["lr"] < rates[98]
    assert rates[75] < low < found["lr"] < high < rates[110]
    assert subject.steepest(rates, [2.3 + n for n in noise])["lr"] is None
    assert subject.steepest(rates, [float("nan")])["lr"] is None


@pytest.mark.slow
def test_a_rate_for_the_digits_is_found_and_neither_lr_nor_accumulation_changes_it():
    found = [
        subject.find_lr(compose([*SMALL, *words]))["lr"]
        for words in ([], ["optim.lr=1e-4"], ["trainer.accumulate_grad_batches=2"])
    ]
    assert 1e-3 < found[0] < 0.3
    assert found[1:] == pytest.approx(found[:1] * 2, rel=1e-3)


def test_layers_keep_their_ratio_while_the_rate_grows(monkeypatch):
    seen = []
    take = subject.RangeTest.on_train_batch_end

    def look(self, trainer, *rest):
        seen.append({group["lr"] for group in trainer.optimizers[0].param_groups})
        take(self, trainer, *rest)

    monkeypatch.setattr(subject, "STEPS", 4)
    monkeypatch.setattr(subject.RangeTest, "on_train_batch_end", look)
    subject.find_lr(compose([*SMALL, "optim.layer_decay=0.5"]))
    ratios = [max(rates) / min(rates) for rates in seen]
    assert len(ratios) == 4 and min(ratios) > 1
    assert ratios == pytest.approx(ratios[:1] * 4)


def test_batches_double_until_they_gain_nothing(monkeypatch):
    config = compose(SMALL)
    run = preflight(config).sound
    monkeypatch.setattr(
        subject, "seconds_of_a_batch", lambda config, run, size: 1.0 + max(size / 8, 1.0)
    )
    found = subject.find_batch_size(config, run)
    speeds = dict(found["throughput"])
    assert speeds[8] == 4.0 and found["largest"] is None
    assert speeds[found["batch_size"]] * 1.05 >= max(speeds.values())
    assert found["batch_size"] < max(speeds) < 1200


def test_the_largest_that_fits_a_gpu_is_named(monkeypatch):
    def seconds(config, run, size):
        if size > 16:
            raise subject.torch.cuda.OutOfMemoryError("no")
        return 0.5

    config = compose(SMALL)
    monkeypatch.setattr(subject, "seconds_of_a_batch", seconds)
    found = subject.find_batch_size(config, preflight(config).sound)
    assert found["largest"] == found["batch_size"] == 16
