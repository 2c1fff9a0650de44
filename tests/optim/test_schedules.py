"""The learning rate at each end of each part of a training."""

import math

import pytest

from vit.optim.schedules import Constant, Cosine, Linear

TOTAL, PER_EPOCH = 100, 10


def scales(schedule):
    return [schedule.scale(step, TOTAL, PER_EPOCH) for step in range(TOTAL)]


@pytest.mark.parametrize("kind", [Cosine, Linear])
def test_it_starts_at_its_start_peaks_after_the_warmup_and_ends_at_its_end(kind):
    got = scales(kind(warmup_steps=20, warmup_start=0.1, final_lr_scale=0.05))
    assert got[0] == pytest.approx(0.1)
    assert got[10] == pytest.approx(0.1 + 0.9 / 2)
    assert got[20] == 1.0
    assert got[-1] == pytest.approx(0.05)
    assert got[:21] == sorted(got[:21])
    assert got[20:] == sorted(got[20:], reverse=True)


def test_without_a_warmup_the_first_step_has_the_full_rate():
    for kind in (Cosine, Linear, Constant):
        assert scales(kind())[0] == 1.0


def test_cosine_and_linear_meet_in_the_middle():
    middle = Cosine().scale(50, 101, 10)
    assert middle == pytest.approx(0.5)
    assert Linear().scale(50, 101, 10) == pytest.approx(middle)
    assert Cosine().scale(25, 101, 10) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_constant_stays_and_its_cooldown_falls_at_the_end_only():
    assert set(scales(Constant())) == {1.0}
    got = scales(Constant(cooldown=0.2))
    assert got[79] == 1.0
    assert got[-1] == pytest.approx(0.0, abs=1e-12)
    assert got[89] == pytest.approx(0.5, abs=0.01)


def test_epochs_and_steps_of_warmup_mean_the_same():
    assert scales(Cosine(warmup_epochs=1.5)) == scales(Cosine(warmup_steps=15))


def test_steps_past_the_end_keep_the_last_scale():
    for kind in (Cosine, Linear, Constant):
        schedule = kind(warmup_steps=5, final_lr_scale=0.1)
        assert schedule.scale(TOTAL + 7, TOTAL, PER_EPOCH) == schedule.scale(99, TOTAL, PER_EPOCH)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_trainings_have_finite_scales(total):
    for warmup in range(total + 1):
        got = [Cosine(warmup_steps=warmup).scale(step, total, 1) for step in range(total + 1)]
        assert all(0 <= scale <= 1 for scale in got)


def test_both_warmups_at_once_are_refused():
    with pytest.raises(ValueError, match="set one of them to null"):
        Cosine(warmup_steps=3, warmup_epochs=1.0)
    assert Cosine(warmup_steps=3, warmup_epochs=0.0).warmup(TOTAL, PER_EPOCH) == 3


def test_a_warmup_longer_than_the_training_is_refused_with_the_word_to_paste():
    with pytest.raises(ValueError, match="takes 110 steps and the whole training 100") as result:
        Linear(warmup_epochs=11.0).scale(0, TOTAL, PER_EPOCH)
    assert "schedule.warmup_epochs=0 " in str(result.value)
    with pytest.raises(ValueError, match=r"schedule\.warmup_steps=0 "):
        Linear(warmup_steps=110).scale(0, TOTAL, PER_EPOCH)


@pytest.mark.parametrize(
    "wrong",
    [{"warmup_steps": -1}, {"warmup_start": 1.5}, {"final_lr_scale": -0.1}, {"cooldown": 2.0}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Constant(**wrong)
