"""Sets of the `datasets` package, saved by this test in a folder: no network."""

import numpy as np
import pytest
from PIL import Image

from vit.data.core.images import BadImage
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


def test_a_folder_of_parquet_or_of_images_is_read_as_load_dataset_does(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(2)})
    for split, count in (("train", 20), ("test", 6)):
        columns = {"image": images(count), "label": [0, 1] * (count // 2)}
        made = datasets.Dataset.from_dict(columns, features=features)
        (tmp_path / "parquet").mkdir(exist_ok=True)
        made.to_parquet(str(tmp_path / "parquet" / f"{split}.parquet"))
        for at, image in enumerate(columns["image"]):
            place = tmp_path / "pictures" / split / "ab"[at % 2]
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / f"{at}.png")
    for folder, names in (("parquet", ("0", "1")), ("pictures", ("a", "b"))):
        data = HuggingFace(path=str(tmp_path / folder))
        assert data.facts.class_names == names
        assert data.lengths == {"train": 18, "val": 2, "test": 6}
        assert data.faults() == []


def test_columns_that_are_no_images_or_differ_between_splits_are_reported(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog"])
    other = datasets.load_from_disk(
        save(tmp_path / "b", [0, 1] * 3, datasets.ClassLabel(names=["dog", "cat"]))
    )["train"]
    train = datasets.load_from_disk(save(tmp_path / "a", [0, 1] * 3, kind))["train"]
    words = datasets.Dataset.from_dict({"image": ["a.png"] * 6, "label": [0, 1] * 3})
    numbers = datasets.Dataset.from_dict({"image": [3] * 6, "label": [0, 1] * 3})
    for at, (splits, said) in enumerate(
        (
            ({"train": words}, r"split 'train': .* is of Value\('string'\); wanted datasets.Image"),
            ({"train": numbers}, r"is of Value\('int64'\); wanted datasets.Image"),
            ({"train": train, "test": words}, "split 'test': .* wanted datasets.Image"),
            ({"train": train, "test": other}, "names=.'dog', 'cat'.*, and in train .*'cat', 'dog'"),
            (
                {"train": train, "test": train.remove_columns("label")},
                "split 'test': the column 'label' .* is not there",
            ),
        )
    ):
        folder = tmp_path / str(at)
        datasets.DatasetDict(splits).save_to_disk(str(folder))
        with pytest.raises(ValueError, match=said):
            _ = HuggingFace(path=str(folder)).facts
    with pytest.raises(ValueError, match=r"data\.path is empty"):
        _ = HuggingFace(path="").facts


def test_rows_without_an_image_are_reported_by_number(tmp_path):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    stored = [{"bytes": b"junk", "path": None}, {"bytes": b"", "path": None}, None, *images(5)]
    columns = {"image": stored, "label": [0, 1] * 4}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(tmp_path / "set"))
    data = HuggingFace(path=str(tmp_path / "set"), val_fraction=0.25)
    said = "\n".join(str(fault) for fault in data.faults())
    for line in ("row 0: not an image", "row 1: an empty file", "row 2: no image"):
        assert line in said
    gone = tmp_path / "gone.png"
    images(1)[0].save(gone)
    paths = datasets.Dataset.from_dict({"image": [str(gone)] * 8, "label": [0, 1] * 4})
    source = HuggingFace(path="set")._source(
        paths.cast_column("image", datasets.Image()), np.arange(8)
    )
    gone.unlink()
    with pytest.raises(BadImage, match=r"row 3: .*gone\.png: No such file"):
        source.read(3, 3)
