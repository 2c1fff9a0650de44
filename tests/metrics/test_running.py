"""Running means of training metrics, and the first step that was not finite."""

import math

import pytest
import torch

from vit.metrics import running
from vit.metrics.running import RunningMeans

CPU = torch.device("cpu")


def scalars(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_a_mean_weighs_each_record_by_its_images():
    means = RunningMeans()
    means.add(scalars(loss=1.0, accuracy=0.5), 30, 0)
    means.add(scalars(loss=4.0, accuracy=0.0), 10, 1)
    assert means.flush(CPU) == {"loss": 1.75, "accuracy": 0.375}


def test_flush_forgets_and_peek_does_not():
    means = RunningMeans()
    means.add(scalars(loss=1.0), 1, 0)
    assert means.peek() == means.peek() == {"loss": 1.0}
    means.add(scalars(loss=3.0), 1, 1)
    assert means.flush(CPU) == {"loss": 2.0}
    assert means.peek() == {"loss": 2.0}  # nothing new yet: what was shown last
    means.add(scalars(loss=7.0), 1, 2)
    assert means.flush(CPU) == {"loss": 7.0}
    assert means.flush(CPU) == {}


def test_a_metric_that_comes_now_and_then_has_the_mean_of_its_own_records():
    means = RunningMeans()
    means.add(scalars(loss=1.0), 1, 0)
    means.add(scalars(loss=2.0, norm=8.0), 1, 1)
    means.add(scalars(loss=3.0), 1, 2)
    assert means.flush(CPU) == {"loss": 2.0, "norm": 8.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_bad_step_is_named_with_its_images(bad):
    means = RunningMeans()
    for step, loss in enumerate([1.0, 2.0, bad, 3.0, bad]):
        means.add(scalars(accuracy=0.5, loss=loss), 2, step, torch.tensor([step, 10 + step]))
    assert means.first_bad(CPU)[:2] == (2, [2, 12])
    assert not math.isfinite(means.flush(CPU)["loss"])
    assert means.first_bad(CPU)[:2] == (2, [2, 12])  # still reported after the flush it lay in
    means.add(scalars(accuracy=0.5, loss=1.0), 2, 5)
    assert means.flush(CPU)["loss"] == 1.0
    assert means.first_bad(CPU) is None


def test_infinities_of_both_signs_do_not_cancel():
    means = RunningMeans()
    means.add(scalars(a=math.inf, b=-math.inf), 1, 7)
    assert means.first_bad(CPU)[:2] == (7, [])


def test_a_peek_between_does_not_hide_the_first_bad_step():
    means = RunningMeans()
    means.add(scalars(loss=math.nan), 1, 3)
    means.peek()
    means.add(scalars(loss=math.nan), 1, 4)
    assert means.first_bad(CPU)[:2] == (3, [])


def test_records_that_nobody_asks_for_stay_few_and_exact(monkeypatch):
    monkeypatch.setattr(running, "MOST_RECORDS", 4)
    means = RunningMeans()
    for step in range(11):
        means.add(scalars(loss=math.nan if step == 6 else step), 1, step)
        assert all(len(sums.records) <= 4 for sums in means._sums.values())
    assert means.first_bad(CPU)[:2] == (6, [])
    for step in range(9):
        means.add(scalars(loss=float(step)), 1, step)
    means.flush(CPU)
    for step in range(9):
        means.add(scalars(loss=float(step)), 1, step)
    assert means.flush(CPU) == {"loss": 4.0}


def test_recording_keeps_no_graph():
    means = RunningMeans()
    loss = torch.ones(3, requires_grad=True).sum()
    means.add({"loss": loss}, 1, 0)
    assert not any(sums.values.requires_grad for sums in means._sums.values())


def test_a_mean_does_not_depend_on_who_looked_or_on_a_restart():
    # 0.1 cannot be written in binary: sums in another order would end in other last bits.
    losses = [0.1 * step + 0.7 for step in range(40)]
    undisturbed, watched, restarted = RunningMeans(), RunningMeans(), RunningMeans()
    for step, loss in enumerate(losses):
        for means in (undisturbed, watched, restarted):
            means.add(scalars(loss=loss, accuracy=loss / 3), 7, step)
        if step % 3 == 0:
            watched.peek()
            watched.first_bad(CPU)
        if step == 20:
            state, restarted = restarted.state(), RunningMeans()
            restarted.restore(state)
    expected = undisturbed.flush(CPU)
    assert watched.flush(CPU) == expected
    assert restarted.flush(CPU) == expected


def test_what_was_restored_counts_even_if_nothing_follows():
    means = RunningMeans()
    means.restore({"loss": [6.0, 3.0]})
    assert means.peek() == {"loss": 2.0}
    means.add(scalars(other=1.0), 1, 0)
    assert means.flush(CPU) == {"loss": 2.0, "other": 1.0}
    assert means.flush(CPU) == {}


def test_a_long_mean_is_as_good_as_float64():
    means = RunningMeans()
    for step in range(3000):
        means.add(scalars(loss=0.1), 1000, step)
    assert means.flush(CPU)["loss"] == pytest.approx(float(torch.tensor(0.1)), rel=1e-12)
