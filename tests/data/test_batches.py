"""Batches of every kind: they move as a whole, and are kept in files by the same names."""

from dataclasses import fields, is_dataclass

import pytest
import torch
from every_kind import EVERY

from vit.structures import Batch, Objects

OBJECTS = ["labels", "boxes_cxcywh", "counts"]
KEPT = {
    "coco": ["images", *OBJECTS, "masks"],
    "coco_panoptic": ["images", *OBJECTS, "masks"],
    "voc": ["images", *OBJECTS],
    "yolo": ["images", *OBJECTS],
    "box_table": ["images", *OBJECTS],
    "digit_scenes": ["images", *OBJECTS],
    "mask_folder": ["images", "labels"],
    "digit_scenes_semantic": ["images", "labels"],
    "number_words": ["tokens", "targets"],
    "text_classes": ["tokens", "targets"],
    "text_pairs": ["tokens", "targets"],
}


def values_of(batch):
    """Each value in a batch, those of dataclasses in it too."""
    for each in fields(batch):
        value = getattr(batch, each.name)
        if isinstance(value, Objects):
            yield from values_of(value)
        else:
            assert not is_dataclass(value)
            yield value


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("kind", EVERY)
def test_a_batch_moves_as_a_whole(kind, split, tmp_path):
    batch = next(iter(EVERY[kind](tmp_path / "data").loader(split)))
    moved = batch.to("meta")
    assert type(moved) is type(batch)
    assert len(moved) == len(batch) == len(batch.index)
    for value, other in zip(values_of(batch), values_of(moved), strict=True):
        if isinstance(value, torch.Tensor):
            assert (other.device.type, other.shape, other.dtype) == (
                "meta",
                value.shape,
                value.dtype,
            )
        else:
            assert other == value


@pytest.mark.parametrize("kind", EVERY)
def test_what_a_file_keeps_of_a_batch(kind, tmp_path):
    plain = next(iter(EVERY[kind](tmp_path / "data").loader("val"))).as_plain()
    assert list(plain) == ["index", *KEPT.get(kind, ["images", "targets"])]
    assert all(isinstance(value, torch.Tensor | list) for value in plain.values())


def test_what_is_lent_is_not_counted_and_not_owned():
    batch = Batch(torch.rand(5, 1, 2, 2), torch.arange(5), torch.arange(5), num_borrowed=2)
    assert len(batch) == len(batch.to("cpu")) == 3
    own = batch.without_borrowed()
    assert (len(own), len(own.images), own.num_borrowed) == (3, 3, 0)
    assert own.targets.tolist() == [0, 1, 2]
