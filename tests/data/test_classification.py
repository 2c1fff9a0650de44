"""What is the same for every kind of data: facts, odd values, weights, limits."""

import dataclasses
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.core.transforms import EvaluationTransform
from vit.data.digits import Digits
from vit.data.folder import Folder


def test_facts_are_those_of_the_data_unless_reported_otherwise():
    facts = Digits().facts
    assert (facts.num_classes, facts.image_size, facts.channels) == (10, (8, 8), 1)
    assert facts.class_names == tuple("0123456789")
    result = Digits(image_size=16, channels=3, std=(0.25,)).facts
    assert (result.image_size, result.channels) == ((16, 16), 3)
    assert result.mean == facts.mean * 3
    assert result.std == (0.25,) * 3


def test_training_images_are_about_normal():
    data = Digits()
    images = torch.cat([batch.images for batch in data.loader("train")])
    assert abs(images.mean()) < 0.02
    assert abs(images.std() - 1) < 0.02


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seed": -1}, "must be 0 or greater"),
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"eval_batch_size": -3}, "data.eval_batch_size=-3"),
        ({"train_limit": 0}, "data.train_limit=0"),
        ({"val_fraction": 0.0}, "data.val_fraction=0.0; wanted a fraction between 0 and 1"),
        ({"test_fraction": 1.0}, "data.test_fraction=1.0"),
        ({"erasing": 1.5}, "wanted a probability"),
        ({"crop_fraction": 0.0}, "data.crop_fraction=0.0"),
        ({"num_workers": -1}, "data.num_workers=-1"),
        ({"image_size": 0}, "data.image_size=0"),
        ({"image_size": (8, 0)}, "data.image_size"),
        ({"mean": (0.1, 0.2)}, "wanted one value, or three for RGB"),
        ({"std": (0.0,)}, "wanted values above 0"),
    ],
)
def test_odd_values_are_refused_by_key(settings, said):
    with pytest.raises(ValueError, match=said):
        Digits(**settings)


def test_making_the_data_reads_nothing(tmp_path):
    Folder(root=str(tmp_path / "absent"))


def test_a_split_that_is_not_there_says_how_to_get_one(photos):
    with pytest.raises(ValueError, match=r"no 'test' split, only train, val.*data\.test_fraction"):
        Folder(root=str(photos)).loader("test")


def test_the_evaluation_transform_travels_as_plain_values():
    transform = Digits().eval_transform
    again = EvaluationTransform(**dataclasses.asdict(transform))
    image = Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30))
    assert torch.equal(transform(image), again(image))
    assert transform(image).shape == (1, 8, 8)


def test_a_limit_is_of_train_alone_and_even():
    data = Digits(train_limit=50)
    assert data.lengths["train"] == 50
    assert set(data.describe()["train"]["per_class"].values()) == {5}
    assert data.lengths["val"] == Digits().lengths["val"]
    with pytest.raises(ValueError, match=r"data\.train_limit=5000, but train holds 12"):
        _ = Digits(train_limit=5000).lengths


def test_class_weights_make_every_class_count_alike(photos):
    assert Folder(root=str(photos)).class_weight_values() is None
    data = Folder(root=str(photos), class_weights="balanced")
    counts = list(data.describe()["train"]["per_class"].values())
    products = np.array(data.class_weight_values()) * counts
    assert products == pytest.approx([9, 9, 9])  # 27 images, 3 classes


def test_balanced_drawing_makes_classes_equally_frequent(photos):
    data = Folder(root=str(photos), balanced=True, batch_size=27, image_size=8)
    (batch,) = data.loader("train")
    assert len(set(batch.index.tolist())) < 27  # some come twice
    sampler = data.loader("train").batch_sampler
    labels = data.contents.sources["train"].labels[data.splits["train"][1]]
    drawn = np.concatenate([labels[sampler.order(epoch)] for epoch in range(40)])
    assert np.bincount(drawn) / len(drawn) == pytest.approx([1 / 3] * 3, abs=0.05)


def test_lengths_of_loaders_are_batches_of_this_rank():
    data = Digits(batch_size=64, val_fraction=0.14)
    assert len(data.loader("train")) == 1200 // 64
    assert len(data.loader("train", rank=1, world_size=2, accumulate=2)) == 2 * (1200 // 64)
    assert len(data.loader("test")) == 7
    assert len(data.loader("test", world_size=2)) == 7  # of 32 each: as many as in training


@dataclass(kw_only=True, eq=False)
class Unmeasured(Digits):
    """A kind that knows neither mean nor deviation of its images."""

    def read(self):
        return replace(super().read(), mean=(), std=())


def test_what_a_kind_does_not_say_of_its_images_is_asked_of_the_user():
    (fault,) = Unmeasured().faults()
    assert "does not say data.mean and data.std; give it, as in" in fault.message
    given = Unmeasured(mean=(0.25,), std=(0.5,))
    assert not given.faults()
    assert (given.facts.mean, given.facts.std) == ((0.25,), (0.5,))
