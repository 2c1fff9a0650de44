"""Mixup and CutMix: shares that add up, and draws that depend on nothing but their key."""

import pytest
import torch

from vit.tasks.mixing import Mixing


def batch(count: int = 6):
    """Images that are wholly one value, so that a mixture tells its shares."""
    images = torch.arange(1.0, count + 1).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).clone()
    return images, torch.arange(count)


def mixing(**options) -> Mixing:
    given = {"mixup": 0.8, "cutmix": 1.0, "probability": 1.0, "seed": 3} | options
    return Mixing(6, **given)


@pytest.mark.parametrize("kind", [{"cutmix": 0.0}, {"mixup": 0.0}])
def test_images_and_targets_are_mixed_in_the_same_shares(kind):
    images, targets = batch()
    for position in range(20):
        mixed, shares = mixing(**kind)(images, targets, 0, position)
        torch.testing.assert_close(shares.sum(-1), torch.ones(6))
        expected = (shares * torch.arange(1.0, 7)).sum(-1)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), expected)


def test_the_same_key_gives_the_same_mixture_and_another_key_another():
    def drawn(epoch, position, **options):
        return mixing(**options)(*batch(), epoch, position)[1]

    torch.rand(5)  # whatever was drawn before
    assert torch.equal(drawn(1, 4), drawn(1, 4))
    for other in (drawn(2, 4), drawn(1, 5), drawn(1, 4, seed=4)):
        assert not torch.equal(drawn(1, 4), other)


def test_the_global_generator_is_left_as_it_was():
    before = torch.get_rng_state()
    for probability in (0.0, 1.0):
        mixing(probability=probability)(*batch(), 0, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_an_error_inside_leaves_the_global_generator_too():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="last dimension"):
        mixing()(batch()[0], torch.zeros(6, 3), 0, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_batches_are_mixed_with_the_probability_asked_for():
    images, targets = batch()
    some = mixing(probability=0.25)
    count = sum(some(images, targets, 0, at)[0] is not images for at in range(400))
    assert 70 < count < 130
    never = mixing(probability=0.0)
    assert all(never(images, targets, 0, at)[0] is images for at in range(50))


def test_both_kinds_take_turns_by_chance():
    images, targets = batch()
    both = mixing()
    # Mixup leaves every image of one value; cutmix leaves only the two values it cut together.
    values = [both(images, targets, 0, at)[0][0].unique() for at in range(200)]
    cut = sum(len(one) == 2 for one in values)
    assert 50 < cut < 150


def test_several_labels_are_mixed_too():
    images, _ = batch()
    several = torch.eye(6) + torch.eye(6).roll(2, 1)
    _, shares = mixing()(images, several, 0, 1)
    torch.testing.assert_close(shares.sum(-1), torch.full((6,), 2.0))


def test_without_any_alpha_nothing_happens():
    images, targets = batch()
    assert mixing(mixup=0.0, cutmix=0.0)(images, targets, 0, 0)[0] is images


def test_it_can_be_built_where_models_are_checked_and_mixes_the_same():
    images, targets = batch()
    with torch.device("meta"):
        built = mixing()
    assert torch.equal(built(images, targets, 0, 1)[0], mixing()(images, targets, 0, 1)[0])
