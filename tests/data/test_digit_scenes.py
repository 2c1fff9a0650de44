"""Scenes: the same for everyone, boxes and masks exact, held-out digits held out."""

import numpy as np
import pytest
import torch

from vit.data.digit_scenes import HIDDEN, INK, DigitScenes, tight_boxes


def small(**settings):
    return DigitScenes(
        **{"train_scenes": 60, "val_scenes": 30, "test_scenes": 30, "batch_size": 10, **settings}
    )


def test_facts_and_lengths():
    data = DigitScenes()
    assert data.lengths == {"train": 6000, "val": 300, "test": 300}
    assert data.facts.image_size == (96, 96)
    assert data.facts.channels == 1
    assert data.facts.class_ids == tuple(range(10))


def test_a_scene_depends_on_its_number_and_the_split_seed_alone():
    sources = small().contents.sources
    again = small(seed=5, train_scenes=80, batch_size=3).contents.sources
    other = small(split_seed=1).contents.sources
    for split in ("train", "val", "test"):
        contents = [sources[split].content(number) for number in range(30)]
        assert contents == [again[split].content(number) for number in reversed(range(30))][::-1]
        assert contents != [other[split].content(number) for number in range(30)]
        assert len(set(contents)) > 20  # some are empty


def test_digits_of_one_split_are_in_no_other():
    sources = small().contents.sources
    digits = {
        split: {digit.tobytes() for digit in source.digits} for split, source in sources.items()
    }
    assert sum(len(some) for some in digits.values()) >= 1790  # a few digits come twice
    assert not digits["train"] & digits["val"]
    assert not digits["train"] & digits["test"]
    assert not digits["val"] & digits["test"]


def test_masks_cover_the_ink_and_boxes_are_tight_around_them():
    source = small(max_digits=9).contents.sources["train"]
    overlapping = 0
    for number in range(60):
        image, marked = source.marked(number, channels=1, masks=True)
        picture = np.asarray(image)
        assert np.array_equal(marked.masks.any(axis=0), picture >= INK)
        assert marked.masks.sum(axis=0).max(initial=0) <= 1  # a pixel is of one digit
        assert marked.masks.sum(axis=(1, 2)).tolist() == marked.areas.tolist()
        for mask, (x0, y0, x1, y1) in zip(marked.masks, marked.boxes_xyxy, strict=True):
            rows, columns = np.nonzero(mask)
            assert [x0, y0, x1, y1] == [
                columns.min(),
                rows.min(),
                columns.max() + 1,
                rows.max() + 1,
            ]
        boxes = marked.boxes_xyxy
        overlapping += sum(
            np.all(np.maximum(a[:2], b[:2]) < np.minimum(a[2:], b[2:]))
            for at, a in enumerate(boxes)
            for b in boxes[:at]
        )
    assert overlapping > 20


def test_no_digit_loses_more_of_its_ink_than_documented():
    data = small(max_digits=20, min_digits=20, digit_size=(20, 20), image_size=60)
    alone = small(max_digits=1, min_digits=1, digit_size=(20, 20))
    fewest = min(
        alone.contents.sources["train"].marked(number, 1)[1].areas[0] for number in range(60)
    )
    seen = np.concatenate(
        [data.contents.sources["train"].marked(number, 1)[1].areas for number in range(60)]
    )
    assert seen.min() >= (1 - HIDDEN) * fewest * 0.7  # another digit may be thinner than those 60
    assert len(seen) < 20 * 60, "crowded scenes leave some digits out"


def test_noise_is_laid_over_all_and_changes_no_box():
    clean, noisy = (
        small(noise=noise, max_digits=5).contents.sources["val"] for noise in (0.0, 0.1)
    )
    for number in range(10):
        (image, marked), (grey, same) = clean.marked(number, 1), noisy.marked(number, 1)
        assert np.array_equal(marked.boxes_xyxy, same.boxes_xyxy)
        difference = np.asarray(grey).astype(float) - np.asarray(image)
        assert 5 < difference.std() < 26


def test_every_number_of_digits_occurs():
    data = small(train_scenes=300)
    counts = np.bincount(data._per_image("train"), minlength=6)
    assert (counts >= 30).all()
    description = data.describe()["train"]
    assert (
        description["objects"]
        == sum(description["per_class"].values())
        == (counts * np.arange(6)).sum()
    )
    assert description["empty"] == counts[0]
    assert description["most_objects"] == data.most_objects("train") == 5


def test_training_images_are_about_normal():
    data = DigitScenes(train_scenes=500, batch_size=50)
    images = torch.cat([batch.images for batch in data.loader("train")])
    assert abs(images.mean()) < 0.02
    assert abs(images.std() - 1) < 0.02


def test_the_fingerprint_changes_with_what_is_in_the_scenes():
    result = {
        str(settings): small(**settings).fingerprint()
        for settings in (
            {},
            {"split_seed": 1},
            {"max_digits": 6},
            {"noise": 0.1},
            {"image_size": 80},
            {"val_scenes": 31},
            {"masks": True},
        )
    }
    assert len(set(result.values())) == len(result)
    assert small(seed=3, batch_size=2).fingerprint() == result["{}"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_size": None}, "data.image_size=null"),
        ({"digit_size": (14, 97)}, r"data.digit_size=\[14, 97\].*side, 96"),
        ({"min_digits": 6}, "wanted 0 <= min_digits <= max_digits"),
        ({"val_scenes": 0}, "data.val_scenes=0"),
        ({"noise": -0.1}, "data.noise=-0.1"),
        ({"mosaic": 2.0}, "data.mosaic=2.0"),
        ({"train_sizes": (96, 0)}, "data.train_sizes"),
    ],
)
def test_odd_values_are_refused_by_key(settings, said):
    with pytest.raises(ValueError, match=said):
        DigitScenes(**settings)


def test_sound_scenes_have_no_faults():
    assert small().faults() == []
    assert small().warnings() == []


def test_boxes_of_masks():
    masks = np.zeros((2, 5, 7), dtype=bool)
    masks[0, 1:3, 2:6] = True
    masks[1, 4, 6] = True
    assert tight_boxes(masks).tolist() == [[2, 1, 6, 3], [6, 4, 7, 5]]
    assert tight_boxes(masks[:0]).shape == (0, 4)
