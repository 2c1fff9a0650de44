"""Splits keep the shares of classes and do not move."""

import numpy as np

from vit.data.core.splits import evenly_drawn, stratified_split
from vit.data.digits import Digits
from vit.data.folder import Folder

LABELS = np.repeat([0, 1, 2, 3], [40, 20, 3, 1])


def test_every_class_gives_its_share_and_keeps_an_image():
    rest, part = stratified_split(LABELS, 0.25, seed=0)
    assert np.bincount(LABELS[part], minlength=4).tolist() == [10, 5, 1, 0]
    assert sorted([*rest, *part]) == list(range(64))


def test_the_same_seed_splits_alike_and_another_differently():
    part, again, other = (stratified_split(LABELS, 0.25, seed)[1].tolist() for seed in (3, 3, 4))
    assert part == again != other


def test_several_labels_are_split_by_their_sets_or_as_one_group():
    few = np.eye(2, dtype=np.float32)[[0] * 20 + [1] * 40]
    assert few[stratified_split(few, 0.1, 0)[1]].sum(axis=0).tolist() == [2, 4]
    many = np.random.default_rng(0).integers(0, 2, (40, 12)).astype(np.float32)
    assert len(stratified_split(many, 0.25, 0)[1]) == 10


def test_a_limit_draws_classes_evenly_while_they_last():
    drawn = evenly_drawn(LABELS, 20, seed=0)
    assert len(set(drawn.tolist())) == 20
    assert np.bincount(LABELS[drawn]).tolist() == [8, 8, 3, 1]


def test_splits_of_data_share_no_sample_and_ignore_the_runs_seed(photos):
    data = Folder(root=str(photos), val_fraction=0.2, test_fraction=0.2)
    members = [set(data.splits[split][1].tolist()) for split in ("train", "val", "test")]
    assert sum(map(len, members)) == len(set.union(*members)) == 30
    other = Folder(root=str(photos), val_fraction=0.2, test_fraction=0.2, seed=5)
    assert [set(other.splits[name][1].tolist()) for name in ("train", "val", "test")] == members


def test_digits_keep_their_test_whatever_the_split_seed():
    some, other = Digits(), Digits(split_seed=1)
    assert (some._split_labels("test") == other._split_labels("test")).all()
    assert (some.splits["val"][1] != other.splits["val"][1]).any()
