"""Sets of the `datasets` package, saved by this test in a folder: no network."""

import numpy as np
import pytest
from PIL import Image

from vit.data.hf import HuggingFace

datasets = pytest.importorskip("datasets")


def images(count):
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(count)
    ]


def save(folder, labels, feature, splits=("train", "test")):
    features = datasets.Features({"image": datasets.Image(), "label": feature})
    columns = {"image": images(len(labels)), "label": labels}
    made = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(dict.fromkeys(splits, made)).save_to_disk(str(folder))
    return str(folder)


def test_class_labels_give_names_and_images(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog"])
    data = HuggingFace(path=save(tmp_path / "set", [0, 1] * 10, kind))
    assert data.facts.class_names == ("cat", "dog")
    assert data.facts.image_size == (8, 8)
    assert data.lengths == {"train": 18, "val": 2, "test": 20}
    batch = next(iter(data.loader("test")))
    assert batch.targets.tolist() == [0, 1] * 10
    shown = (batch.images[3].permute(1, 2, 0).numpy() * data.facts.std + data.facts.mean) * 255
    assert np.abs(shown - np.asarray(images(4)[3])).max() < 0.01
    assert data.fingerprint() == HuggingFace(path=str(tmp_path / "set")).fingerprint()
    assert not data.faults()


def test_words_numbers_and_lists_are_labels_too(tmp_path):
    words = HuggingFace(path=save(tmp_path / "a", ["b", "a"] * 3, datasets.Value("string")))
    assert words.facts.class_names == ("a", "b")
    numbers = HuggingFace(path=save(tmp_path / "b", [10, 9] * 3, datasets.Value("int64")))
    assert numbers.facts.class_names == ("9", "10")
    kind = datasets.List(datasets.ClassLabel(names=["x", "y", "z"]))
    gap = HuggingFace(path=save(tmp_path / "gap", ["b", None], datasets.Value("string")))
    with pytest.raises(ValueError, match="row 1: no label"):
        _ = gap.facts
    several = HuggingFace(path=save(tmp_path / "c", [[0, 2], [], [1]] * 2, kind))
    assert several.facts.multi_label
    assert several.contents.sources["test"].labels[:3].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_what_is_wrong_is_said_with_what_there_is(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog"])
    path = save(tmp_path / "set", [0, 1, -1, 0], kind)
    for settings, said in (
        ({"label_column": "labels"}, "no column 'labels' .* Did you mean 'label'"),
        ({"train_split": "tran"}, "no split 'tran' .*train, test. Did you mean 'train'"),
        ({}, "train, row 2: label -1 is out of range; wanted 0 to 1"),
        ({"path": str(tmp_path / "none")}, "cannot be loaded"),
    ):
        with pytest.raises(ValueError, match=said):
            _ = HuggingFace(**{"path": path, **settings}).facts


def test_splits_by_another_name_are_not_passed_over(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog"])
    path = save(tmp_path / "set", [0, 1] * 4, kind, ("train", "Valid", "unsupervised"))
    (fault,) = HuggingFace(path=path).faults()
    assert "has a split 'Valid'" in str(fault)
    assert "data.val_split=Valid" in str(fault)
    data = HuggingFace(path=path, val_split="Valid")
    assert data.faults() == []
    assert any("the split 'unsupervised' is left out" in line for line in data.warnings())
    (fault,) = data.faults(full=True)
    assert "8 images of val hold the same bytes as images of train" in str(fault)
