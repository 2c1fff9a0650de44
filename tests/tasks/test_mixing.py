"""Mixup and CutMix: shares that add up, and draws that depend on nothing but their key."""

import pytest
import torch
from torchvision.transforms import v2

from vit.data.augment import Affine
from vit.data.core.randomness import borrowed_generators, sample_seed
from vit.data.digits import Digits
from vit.losses.classification import cross_entropy
from vit.structures import Batch
from vit.tasks.mixing import MIXING, Mixing


def batch(count: int = 6) -> Batch:
    """Images that are wholly one value, so that a mixture tells its shares."""
    images = torch.arange(1.0, count + 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()
    return Batch(images, torch.arange(count), torch.arange(count))


def mixing(**options) -> Mixing:
    given = {"mixup": 0.8, "cutmix": 1.0, "probability": 1.0, "seed": 3} | options
    return Mixing(6, **given)


@pytest.mark.parametrize("kind", [{"cutmix": 0.0}, {"mixup": 0.0}])
def test_images_and_targets_are_mixed_in_the_same_shares(kind):
    for position in range(20):
        mixed, shares = mixing(**kind)(batch(), 0, position)
        torch.testing.assert_close(shares.sum(-1), torch.ones(6))
        expected = (shares * torch.arange(1.0, 7)).sum(-1)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), expected)


def test_the_same_key_gives_the_same_mixture_and_another_key_another():
    def drawn(epoch, position, **options):
        return mixing(**options)(batch(), epoch, position)[1]

    torch.rand(5)  # whatever was drawn before
    assert torch.equal(drawn(1, 4), drawn(1, 4))
    for other in (drawn(2, 4), drawn(1, 5), drawn(1, 4, seed=4)):
        assert not torch.equal(drawn(1, 4), other)


def test_the_global_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    for probability in (0.0, 1.0):
        mixing(probability=probability)(batch(), 0, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_batches_are_mixed_with_the_probability_asked_for():
    plain = batch()
    some = mixing(probability=0.25)
    count = sum(some(plain, 0, at)[1].ndim == 2 for at in range(400))
    assert 70 < count < 130
    never = mixing(probability=0.0)
    assert all(torch.equal(never(plain, 0, at)[0], plain.images) for at in range(50))


def test_both_kinds_take_turns_by_chance():
    both = mixing()
    # Mixup leaves every image of one value; cutmix leaves only the two values it cut together.
    values = [both(batch(), 0, at)[0][0].unique() for at in range(200)]
    cut = sum(len(one) == 2 for one in values)
    assert 50 < cut < 150


def test_several_labels_are_mixed_too():
    several = torch.eye(6) + torch.eye(6).roll(2, 1)
    _, shares = mixing()(Batch(batch().images, several, torch.arange(6)), 0, 1)
    torch.testing.assert_close(shares.sum(-1), torch.full((6,), 2.0))


def test_without_any_alpha_nothing_happens():
    images, targets = mixing(mixup=0.0, cutmix=0.0)(batch(), 0, 0)
    assert torch.equal(images, batch().images)
    assert targets.ndim == 1


def test_it_can_be_built_where_models_are_checked_and_mixes_the_same():
    with torch.device("meta"):
        built = mixing()
    assert torch.equal(built(batch(), 0, 1)[0], mixing()(batch(), 0, 1)[0])


@pytest.mark.parametrize("side", [(7, 7), (9, 16)])
def test_mixtures_are_those_of_torchvision(side):
    """The same numbers drawn in the same order, from torchvision's own parts."""
    images, targets = torch.randn(6, 3, *side), torch.arange(6)
    kinds = [v2.MixUp(alpha=0.8, num_classes=6), v2.CutMix(alpha=1.0, num_classes=6)]
    for step in range(30):
        with borrowed_generators():
            torch.manual_seed(sample_seed(3, 2, step, MIXING))
            _, choice = torch.rand(2).tolist()
            expected = kinds[int(choice * 2)](images, targets)
        found = mixing()(Batch(images, targets, targets), 2, step)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def slices(world_size: int, accumulate: int, *, mix_neighbours: bool = True) -> list[list[Batch]]:
    """The slices of each optimizer step of an epoch, augmented, in the order of the images."""
    shared = {"world_size": world_size, "accumulate": accumulate, "mix_neighbours": mix_neighbours}
    data = Digits(seed=4, batch_size=64, augment=Affine(), erasing=0.3)
    loaders = [data.loader("train", rank=rank, **shared) for rank in range(world_size)]
    for loader in loaders:
        loader.batch_sampler.start(3)
    ranks = [list(loader) for loader in loaders]
    return [
        [batches[at] for at in range(step, step + accumulate) for batches in ranks]
        for step in range(0, 4 * accumulate, accumulate)
    ]


def mixed_slices(world_size: int, accumulate: int, **options):
    mix = mixing(seed=4, **options)
    mix.num_classes = 10
    return [
        [mix(one, 3, step) for one in parts]
        for step, parts in enumerate(slices(world_size, accumulate))
    ]


SPLITS = [(2, 1), (4, 1), (1, 4), (2, 2)]


@pytest.mark.parametrize(("world_size", "accumulate"), SPLITS)
@pytest.mark.parametrize("kind", [{"cutmix": 0.0}, {"mixup": 0.0}])
def test_any_split_of_a_global_batch_sees_the_same_mixtures(world_size, accumulate, kind):
    for parts, ((images, shares),) in zip(
        mixed_slices(world_size, accumulate, **kind), mixed_slices(1, 1, **kind), strict=True
    ):
        assert len(parts) == world_size * accumulate
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), shares)


@pytest.mark.parametrize(("world_size", "accumulate"), SPLITS)
def test_any_split_of_a_global_batch_gives_the_same_gradients(world_size, accumulate):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    def gradients(parts):
        model.zero_grad()
        for images, targets in parts:
            (cross_entropy(model(images), targets).mean() / len(parts)).backward()
        return model[1].weight.grad.clone()

    for parts, whole in zip(mixed_slices(world_size, accumulate), mixed_slices(1, 1), strict=True):
        found, expected = gradients(parts), gradients(whole)
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_what_is_lent_counts_nowhere_else():
    for parts in slices(2, 1):
        for part in parts:
            assert (len(part), len(part.images), part.num_borrowed) == (32, 33, 1)
            assert len(part.without_borrowed()) == len(part.without_borrowed().images) == 32
        first, second = parts
        assert first.index[-1] == second.index[-2]
        assert second.index[-1] == first.index[-2]
    alone = slices(2, 1, mix_neighbours=False)
    assert not any(part.num_borrowed for parts in alone for part in parts)
    assert not any(part.num_borrowed for parts in slices(1, 1) for part in parts)
