"""Each augmentation keeps the size and the mode, obeys the seed, and changes something."""

import numpy as np
import pytest
from PIL import Image

from vit.data.augment import (
    Affine,
    AugMix,
    CropFlip,
    NoAugmentation,
    RandAugment,
    RandomResizedCrop,
    ThreeAugment,
    TimmAugment,
    TrivialAugment,
)
from vit.data.core.randomness import seed_everything_used
from vit.data.core.transforms import EvaluationTransform

ALL = [
    Affine(),
    CropFlip(),
    RandomResizedCrop(),
    RandAugment(),
    RandAugment(frame=CropFlip(), magnitude=30),
    TrivialAugment(),
    AugMix(),
    ThreeAugment(),
    TimmAugment(),
    TimmAugment(policy="rand-m10-mstd101"),  # full strength: Pillow 13 once refused it
    TimmAugment(policy="augmix-m5-w3"),
    TimmAugment(policy="3a"),
]


def seeded(change, image, seed):
    seed_everything_used(seed)
    return np.asarray(change(image))


@pytest.mark.parametrize("augment", ALL, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_augmentation_is_the_seeds_alone_and_keeps_size_and_mode(augment, channels):
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image = Image.fromarray(values).convert({1: "L", 3: "RGB"}[channels])
    prepare = EvaluationTransform((24, 32), channels, (0.5,) * channels, (0.2,) * channels)
    change = augment.change(prepare)
    made = [seeded(change, image, seed) for seed in range(12)]
    shape = (24, 32) if channels == 1 else (24, 32, 3)
    assert all(one.shape == shape and one.dtype == np.uint8 for one in made)
    again = [seeded(augment.change(prepare), image, seed) for seed in range(12)]
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))
    assert len({one.tobytes() for one in made}) > 6


def test_none_is_evaluation():
    image = Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20) // 2)
    prepare = EvaluationTransform((8, 8), 1, (0.5,), (0.2,))
    assert np.array_equal(NoAugmentation().change(prepare)(image), prepare.fitted(image))


def test_what_timm_does_not_understand_is_refused_with_an_example():
    prepare = EvaluationTransform((8, 8), 3, (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(ValueError, match=r"data\.augment\.policy='rnd-m9' is no policy of timm"):
        TimmAugment(policy="rnd-m9").change(prepare)
