"""Pictures and class maps: moved together, the same whatever prepares them, exact in evaluation."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.augment_boxes import BoxCrop, Flip, NoBoxAugmentation, Photometric, ScaleJitter
from vit.data.core.sampling import Key
from vit.data.digit_scenes import INK, DigitScenes
from vit.data.digit_scenes_semantic import DigitScenesSemantic
from vit.data.kinds.pixel_labels import resized
from vit.data.kinds.segmentation_transforms import SegmentationTransform, map_sample
from vit.data.mask_folder import MaskFolder
from vit.pictures.sheets import sample_sheet
from vit.structures import IGNORED, SegmentationBatch

SMALL = {"train_scenes": 24, "val_scenes": 10, "test_scenes": 7, "batch_size": 6}


def scenes(**settings):
    more = {"image_size": (64, 80), "augment_maps": Photometric(frame=ScaleJitter())}
    return DigitScenesSemantic(**{**SMALL, **more, **settings})


def batches_of(data, epoch=0, start=0, **world):
    loader = data.loader("train", **world)
    loader.batch_sampler.start(epoch, start)
    return list(loader)


def by_sample(batches):
    return {
        sample: (batch.images[row], batch.labels[row])
        for batch in batches
        for row, sample in enumerate(batch.index.tolist())
    }


def assert_same(some, others):
    assert some
    assert some.keys() == others.keys()
    for sample in some:
        for one, other in zip(some[sample], others[sample], strict=True):
            assert torch.equal(one, other)


def test_a_digits_pixels_are_of_its_class_and_the_rest_is_background():
    data, objects = scenes(), DigitScenes(**{**SMALL, "image_size": (64, 80)}).contents.sources
    assert data.facts.class_names == ("background", *map(str, range(10)))
    for split, index in (("train", 3), ("val", 9), ("test", 0)):
        image, marked = objects[split].marked(index, channels=1, masks=True)
        wanted = np.zeros((64, 80), dtype=int)
        for label, mask in zip(marked.labels, marked.masks, strict=True):
            wanted[mask] = label + 1
        assert np.array_equal(data.class_map(split, index), wanted)
        assert np.array_equal(wanted > 0, np.asarray(image) >= INK)
        assert np.array_equal(data.picture(split, index).convert("L"), image)


def test_workers_change_neither_order_nor_pixels_nor_labels():
    alone, helped = scenes(), scenes(num_workers=2)
    loader = helped.loader("train")
    for epoch, start in ((0, 0), (1, 2)):
        loader.batch_sampler.start(epoch, start)
        some, others = list(loader), batches_of(alone, epoch, start)
        assert [b.index.tolist() for b in some] == [b.index.tolist() for b in others]
        assert_same(by_sample(some), by_sample(others))


@pytest.mark.parametrize(("world_size", "accumulate"), [(2, 1), (3, 1), (1, 3)])
def test_ranks_and_accumulation_change_nothing(world_size, accumulate):
    whole = by_sample(batches_of(scenes(), epoch=3))
    parts = {}
    for rank in range(world_size):
        world = {"rank": rank, "world_size": world_size, "accumulate": accumulate}
        parts |= by_sample(batches_of(scenes(), epoch=3, **world))
    assert_same(parts, whole)


def test_epoch_and_seed_change_the_pixels_and_the_batch_does_not():
    some = by_sample(batches_of(scenes()))
    for changed in (by_sample(batches_of(scenes(), 1)), by_sample(batches_of(scenes(seed=1)))):
        assert sum(torch.equal(some[s][0], changed[s][0]) for s in some) < 5
    data = scenes().dataset("train", training=True)
    apart = by_sample([data.__getitems__([Key(0, n)]) for n in range(24)])
    assert_same(apart, some)


def test_loading_neither_moves_nor_heeds_the_global_generators():
    some = by_sample(batches_of(scenes()))
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    before = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    assert_same(by_sample(batches_of(scenes())), some)
    assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize(
    "augment", [Flip(flip=1.0), BoxCrop(scale=(0.3, 0.9)), ScaleJitter(scale=(0.5, 2.0))]
)
def test_labels_move_with_the_pixels(augment):
    """Ink is bright and paper is dark, before and after; only the digits' edges are blurred."""
    data = scenes(augment_maps=augment, min_digits=3)
    right = total = filled = 0
    for batch in batches_of(data):
        grey = batch.images[:, 0] * data.facts.std[0] + data.facts.mean[0]
        known = batch.labels != IGNORED
        right += int(((grey * 255 >= INK) == (batch.labels > 0))[known].sum())
        total += int(known.sum())
        filled += int((~known).sum())
        assert batch.labels.unique().tolist() == sorted(
            {*batch.labels.unique().tolist()} & {*range(11), IGNORED}
        )
    assert right / total > 0.97
    assert (filled > 0) == isinstance(augment, ScaleJitter)


def test_evaluation_comes_in_order_once_over_all_ranks():
    data = scenes(eval_batch_size=4)
    indices = []
    for rank in range(3):
        for batch in data.loader("test", rank=rank, world_size=3):
            for labels, index in zip(batch.labels, batch.index.tolist(), strict=True):
                assert torch.equal(labels, torch.from_numpy(data.class_map("test", index)).long())
                indices.append(index)
    assert sorted(indices) == list(range(7))


@pytest.mark.parametrize(("size", "fit"), [((64, 50), "letterbox"), (24, "squash"), (16, "squash")])
def test_evaluation_fills_up_with_ignored_pixels_and_maps_find_back(mask_files, size, fit):
    data = MaskFolder(root=mask_files.write(), image_size=size, fit=fit)
    (batch,) = data.loader("val")
    frame = data.eval_transform.frame(30, 40)
    (tall, wide), (top, left) = frame.scaled, frame.offset
    inside = torch.zeros(batch.labels.shape[1:], dtype=torch.bool)
    inside[top : top + tall, left : left + wide] = True
    for labels, index in zip(batch.labels, batch.index.tolist(), strict=True):
        assert (labels[~inside] == IGNORED).all()
        original = torch.from_numpy(data.class_map("val", index)).long()
        found = resized(labels[top : top + tall, left : left + wide], 30, 40)
        assert found.shape == (30, 40)
        exact = tall >= 30 and wide >= 40
        same = (found == original).float().mean()
        assert same == 1 if exact else same > 0.6
    assert bool((~inside).any()) == (fit == "letterbox")


@pytest.mark.parametrize(
    "augment",
    [
        ScaleJitter(scale=(1.0, 1.0), flip=0.0),
        BoxCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0),
        NoBoxAugmentation(),
    ],
)
def test_a_smaller_map_keeps_its_place(augment):
    """A fifth as large, each pixel is of the class at its centre, not at its corner."""
    change = augment.change(SegmentationTransform((32, 32), 1, (0.0,), (1.0,)))
    ramp = np.tile(np.arange(160, dtype=np.uint8), (160, 1))
    for turned in (ramp, ramp.T.copy()):
        found = change(map_sample(Image.new("L", (160, 160)), turned))["map"][0]
        row = found[0] if turned is ramp else found[:, 0]
        assert row.tolist() == list(range(2, 160, 5))


def test_a_batch_moves_as_a_whole():
    batch = next(iter(scenes().loader("val")))
    moved = batch.to("cpu").without_borrowed()
    assert isinstance(moved, SegmentationBatch)
    assert len(moved) == 5
    assert moved.labels.dtype == torch.int64
    for name in ("images", "labels", "index"):
        assert torch.equal(getattr(moved, name), getattr(batch, name))


def test_nothing_is_lent():
    with pytest.raises(ValueError, match="not mixed over slices"):
        scenes().loader("train", mix_neighbours=True)


def test_odd_scenes_are_refused_by_key():
    with pytest.raises(ValueError, match=r"data.digit_size=\[14, 97\].*side, 96"):
        DigitScenesSemantic(digit_size=(14, 97))


def test_it_is_reported_where_not_all_maps_were_counted(monkeypatch):
    monkeypatch.setattr("vit.data.kinds.segmentation.MAPS_COUNTED", 5)
    description = scenes().describe()["train"]
    assert description["from"].endswith("; classes of 5 maps")
    assert description["maps_counted"] == description["per_class"]["background"] == 5


def test_scenes_are_reported_and_have_no_faults():
    data = scenes(min_digits=5, train_scenes=60)
    assert data.faults() == data.warnings() == []
    description = data.describe()["train"]
    assert (
        description["images"]
        == description["maps_counted"]
        == description["per_class"]["background"]
        == 60
    )
    assert 0 < description["per_class"]["7"] < 60
    prints = {str(more): scenes(**more).fingerprint() for more in ({}, {"noise": 0.1}, {"seed": 3})}
    assert prints["{}"] == prints["{'seed': 3}"] != prints["{'noise': 0.1}"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_sheet_tints_what_is_of_a_class(mask_files, split):
    data = MaskFolder(root=mask_files.write(), image_size=32)
    drawn = np.asarray(sample_sheet(data, split, 2))
    plain = DigitScenesSemantic(**SMALL, max_digits=0)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 50
    tinted = np.asarray(sample_sheet(plain, split, 2))
    assert (tinted[30:100, 30:90, 0] != tinted[30:100, 30:90, 1]).any()  # black with class 0's red
