"""Which sample comes when: the same for any number of ranks, and nothing lost in evaluation."""

import numpy as np
import pytest

from vit.data.core.sampling import EpochSampler, EvaluationSampler, Key


def samples(batch):
    return [key.sample for key in batch]


def global_steps(world_size, accumulate, *, epoch=0, start=0, length=50, batch_size=12):
    """The samples of every optimizer step, put together from all ranks and micro-batches."""
    ranks = []
    for rank in range(world_size):
        sampler = EpochSampler(
            length, batch_size, 7, rank=rank, world_size=world_size, accumulate=accumulate
        )
        sampler.start(epoch, start * accumulate)
        ranks.append([samples(batch) for batch in sampler])
    steps = []
    for first in range(0, len(ranks[0]), accumulate):
        micro = range(first, first + accumulate)
        steps.append([sample for at in micro for batches in ranks for sample in batches[at]])
    return steps


@pytest.mark.parametrize(("world_size", "accumulate"), [(2, 1), (3, 1), (1, 3), (2, 2), (3, 4)])
def test_a_step_sees_the_same_samples_in_order_on_any_number_of_ranks(world_size, accumulate):
    assert global_steps(world_size, accumulate) == global_steps(1, 1)


def test_an_epoch_holds_no_sample_twice_and_each_epoch_has_its_own_order():
    first, second = (
        [sample for step in global_steps(1, 1, epoch=epoch) for sample in step] for epoch in (0, 1)
    )
    assert len(set(first)) == len(first) == 48
    assert first != second


def test_the_order_is_that_of_seed_and_epoch_alone():
    sampler = EpochSampler(50, 12, 7)
    list(sampler)
    assert (sampler.order(3) == EpochSampler(50, 5, 7).order(3)).all()
    assert (sampler.order(3) != EpochSampler(50, 12, 8).order(3)).any()


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 2)])
def test_starting_part_way_is_the_rest_of_the_same_epoch(world_size, accumulate):
    whole = global_steps(world_size, accumulate, epoch=5)
    assert global_steps(world_size, accumulate, epoch=5, start=2) == whole[2:]


def test_epoch_and_start_are_read_when_the_iterator_is_made():
    sampler = EpochSampler(50, 12, 7)
    sampler.start(1)
    iterator = iter(sampler)
    sampler.start(2, 3)
    assert next(iterator)[0] == Key(1, int(sampler.order(1)[0]))


def test_length_is_that_of_a_whole_epoch_wherever_it_starts():
    sampler = EpochSampler(50, 12, 7, world_size=2, accumulate=3)
    sampler.start(4, 5)
    assert len(sampler) == 4 * 3
    assert len(list(sampler)) == 4 * 3 - 5


def test_a_set_smaller_than_a_batch_is_one_batch():
    assert [sorted(step) for step in global_steps(1, 1, length=5)] == [[0, 1, 2, 3, 4]]
    assert [len(step) for step in global_steps(2, 1, length=5)] == [4]


def test_a_batch_that_cannot_be_cut_evenly_names_sizes_that_can():
    with pytest.raises(ValueError, match=r"data\.batch_size=9 or 12"):
        EpochSampler(50, 10, 0, world_size=3)
    with pytest.raises(ValueError, match="3 training samples cannot be shared by 2 devices × 2"):
        EpochSampler(3, 4, 0, world_size=2, accumulate=2)


def test_weights_draw_the_rare_as_often_as_the_common():
    labels = np.array([0] * 900 + [1] * 100)
    sampler = EpochSampler(1000, 10, 0, weights=1 / np.bincount(labels)[labels])
    assert 400 < labels[sampler.order(0)].sum() < 600


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [5, 7, 64, 65, 97])
@pytest.mark.parametrize("batch_size", [1, 2, 16, 1000])
def test_evaluation_sees_every_sample_once_in_equally_many_batches(world_size, length, batch_size):
    ranks = [
        [
            samples(batch)
            for batch in EvaluationSampler(length, batch_size, rank=r, world_size=world_size)
        ]
        for r in range(world_size)
    ]
    seen = [sample for batches in ranks for batch in batches for sample in batch]
    assert sorted(seen) == list(range(length))
    assert len({len(batches) for batches in ranks}) == 1
    sizes = [len(batch) for batches in ranks for batch in batches]
    assert min(sizes) >= 1
    assert max(sizes) <= max(batch_size, 2)


def test_evaluation_on_more_devices_than_images_is_refused():
    with pytest.raises(ValueError, match="3 images cannot be shared by 5 devices"):
        EvaluationSampler(3, 8, world_size=5)


def test_samples_of_like_costs_share_a_batch_whatever_the_ranks():
    costs = np.random.default_rng(1).integers(1, 100, size=5_003)
    plain = EpochSampler(5_003, 20, 7, costs=costs)
    order = plain.order(3)
    assert sorted(order.tolist()) == list(range(5_003))
    batches = order[:5_000].reshape(250, 20)
    spread = np.ptp(costs[batches], axis=1)
    by_chance = np.ptp(costs[EpochSampler(5_003, 20, 7).order(3)[:5_000].reshape(250, 20)], axis=1)
    assert spread.mean() < 0.1 * by_chance.mean()
    firsts = costs[batches].mean(1)
    assert np.abs(np.diff(firsts)).mean() > 10  # short and long ones come in any order
    left_over = [
        EpochSampler(5_003, 20, 7, costs=costs).order(epoch)[5_000:] for epoch in range(60)
    ]
    assert costs[np.array(left_over)].mean() == pytest.approx(costs.mean(), abs=8)
    assert not np.array_equal(order, plain.order(4))
    split = [EpochSampler(5_003, 20, 7, rank=rank, world_size=2, costs=costs) for rank in (0, 1)]
    assert np.array_equal(split[1].order(3), order)
    for sampler in split:
        sampler.start(3)
    plain.start(3)
    for whole, *parts in zip(plain, *split, strict=True):
        assert [key.sample for part in parts for key in part] == [key.sample for key in whole]
