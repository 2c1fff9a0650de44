"""Several views of one sample: each with randomness of its own, which anybody can draw again."""

from dataclasses import fields, replace

import pytest
import torch
from every_kind import EVERY
from test_pinned import add

from vit.data.augment import RandAugment, RandomResizedCrop
from vit.data.core.images import BadImage
from vit.data.core.randomness import sample_seed
from vit.data.core.sampling import Key
from vit.structures import Views

AUGMENTED = ["folder", "coco", "mask_folder"]


def same(one, other):
    """Whether two batches hold the same, whatever they are."""
    texts = []
    for batch in (one, other):
        parts = []
        add(type("Parts", (), {"update": lambda _, part, parts=parts: parts.append(part)})(), batch)
        texts.append(b"".join(parts))
    return texts[0] == texts[1]


def batch_of(data, views, epoch=0, samples=range(4)):
    split = data.dataset("train", training=True, views=views)
    return split.__getitems__([Key(epoch, sample) for sample in samples])


@pytest.fixture
def kind_of(tmp_path):
    def make(kind):
        data = EVERY[kind](tmp_path / "data")
        if kind == "folder":
            augment = RandAugment(frame=RandomResizedCrop(scale=(0.3, 1.0)))
            return replace(data, augment=augment, erasing=0.5)
        return data

    return make


@pytest.mark.parametrize("kind", EVERY)
def test_the_first_view_is_what_comes_without_others(kind, kind_of):
    data = kind_of(kind)
    pair = batch_of(data, views=2)
    assert isinstance(pair, Views)
    assert len(pair.views) == 2
    assert same(pair.views[0], batch_of(data, views=1))
    assert pair.index.tolist() == pair.views[1].index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", AUGMENTED)
def test_views_differ_and_come_again(kind, kind_of):
    data = kind_of(kind)
    some = batch_of(data, views=3)
    again = batch_of(kind_of(kind) if kind == "none" else replace(data), views=3)
    for view in range(3):
        assert same(some.views[view], again.views[view])
        for other in (*some.views[:view], *batch_of(data, views=3, epoch=1).views):
            assert not same(some.views[view], other)
    assert same(some.views[1], batch_of(data, views=2).views[1])  # however many there are
    assert not same(some.views[1], batch_of(replace(data, seed=1), views=3).views[1])


def test_the_batch_changes_no_view(kind_of):
    data = kind_of("folder")
    together = batch_of(data, views=2)
    for sample in range(4):
        alone = batch_of(data, views=2, samples=[sample])
        for one, other in zip(alone.views, together.views, strict=True):
            assert torch.equal(one.images[0], other.images[sample])


def test_workers_change_no_view_and_batches_move_as_a_whole(kind_of):
    data = kind_of("folder")
    batches = {}
    for workers in (0, 2):
        loader = replace(data, num_workers=workers).loader("train", views=2)
        batches[workers] = list(loader)
    assert len(batches[0]) == len(batches[2]) > 0
    for one, other in zip(batches[0], batches[2], strict=True):
        assert same(one, other)
    some = batches[0][0]
    assert len(some.to("cpu").without_borrowed()) == len(some) == 8
    assert some.as_plain().keys() >= {"images", "images_1", "targets", "targets_1"}
    assert {each.name for each in fields(some)} == {"views"}


def test_a_bad_image_is_named_once_and_is_in_no_view(kind_of, tmp_path):
    data = kind_of("folder")
    name = data.sample_name("train", 1)
    (tmp_path / "data" / name).write_bytes(b"no image")
    with pytest.raises(BadImage, match=name):
        batch_of(data, views=2)
    pair = batch_of(replace(data, on_bad_image="skip"), views=2)
    assert len(pair.left_out) == 1
    assert name in pair.left_out[0]
    assert [view.index.tolist() for view in pair.views] == [[0, 2, 3], [0, 2, 3]]


def test_a_number_of_views_below_one_is_refused(kind_of):
    with pytest.raises(ValueError, match="views=0; wanted 1 or more"):
        kind_of("digits").dataset("train", training=True, views=0)


def test_seeds_of_views_differ_and_the_first_is_that_without_views():
    words = [(seed, epoch, index) for seed in range(3) for epoch in range(3) for index in range(3)]
    seeds = {
        sample_seed(*each, purpose, view)
        for each in words
        for purpose in range(4)
        for view in range(4)
    }
    assert len(seeds) == 27 * 16
    assert sample_seed(1, 2, 3, 4) == sample_seed(1, 2, 3, 4, view=0)
