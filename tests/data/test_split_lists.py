"""Splits in lists of names, of folders of classes and of masks."""

import numpy as np
import pytest
from PIL import Image

from vit.data.core.split_lists import members
from vit.data.folder import Folder
from vit.data.mask_folder import MaskFolder


def photo(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(file).encode()]).integers(0, 255, (16, 16, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(file)


@pytest.fixture
def classes(tmp_path):
    for name in ("cat", "dog"):
        for number in range(4):
            photo(tmp_path / name / f"{name}{number}.jpg")
    (tmp_path / "train.txt").write_text("cat/cat0.jpg\ncat/cat1\ndog0\n./dog/dog1.jpg 1\n")
    (tmp_path / "val.txt").write_text("data/cat/cat2.jpg\ndog\\dog2.jpg\n")
    return tmp_path


LISTS = {"train": "train.txt", "val": "val.txt"}


def test_folders_of_classes_are_parted_by_lists(classes):
    data = Folder(root=str(classes), split_files=LISTS, image_size=16)
    assert data.faults() == []
    found = {
        split: [data.sample_name(split, at) for at in range(count)]
        for split, count in data.lengths.items()
    }
    assert found["train"] == ["cat/cat0.jpg", "cat/cat1.jpg", "dog/dog0.jpg", "dog/dog1.jpg"]
    assert found["val"] == ["cat/cat2.jpg", "dog/dog2.jpg"]
    source, at = data._source_of("train")
    assert source.labels[at].tolist() == [0, 0, 1, 1]
    assert any("2 of 8 images stand in none of the lists" in line for line in data.warnings())
    assert data.fingerprint() != Folder(root=str(classes), image_size=16).fingerprint()


def test_a_set_without_a_list_of_val_lends_from_train(classes):
    lists = {"train": "train.txt"}
    data = Folder(root=str(classes), split_files=lists, image_size=16, val_fraction=0.5)
    assert data.lengths == {"train": 2, "val": 2}


def test_everything_wrong_with_lists_is_said_at_once(classes):
    photo(classes / "dog" / "same.jpg")
    photo(classes / "cat" / "same.jpg")
    (classes / "train.txt").write_text("cat/cat0.jpg\nowl/owl0.jpg\nsame\ncat0.jpg\ndog0\n")
    (classes / "val.txt").write_text("cat0\n")
    lists = {**LISTS, "test": "tset.txt"}
    faults = "\n".join(map(str, Folder(root=str(classes), split_files=lists).faults()))
    for said in (
        "lines that name no file: row 2 (owl/owl0.jpg)",
        "may be several files: row 3 (same)",
        "come twice: row 4 (cat0.jpg)",
        "are in the list of train too: row 1 (cat0)",
        "data.split_files.test=tset.txt: there is no file",
    ):
        assert said in faults, faults


def test_an_image_of_another_class_is_not_taken_for_one_that_is_missing(classes):
    (classes / "train.txt").write_text("dog/cat0.jpg\n")
    (fault,) = Folder(root=str(classes), split_files={"train": "train.txt"}).faults()
    assert "name no file: row 1 (dog/cat0.jpg)" in str(fault)


def test_folders_of_splits_and_lists_are_refused_together(tmp_path):
    photo(tmp_path / "train" / "cat" / "1.jpg")
    (tmp_path / "train.txt").write_text("1\n")
    (fault,) = Folder(root=str(tmp_path), split_files={"train": "train.txt"}).faults()
    assert "holds the splits train" in str(fault)


def test_masks_are_parted_by_lists_and_the_rest_needs_none(tmp_path):
    for number in range(6):
        photo(tmp_path / "images" / f"{number}.jpg")
        if number < 5:
            (tmp_path / "masks").mkdir(exist_ok=True)
            values = np.full((16, 16), number % 2, dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "masks" / f"{number}.png")
    lines = [f"/SegNet/images/{n}.jpg /SegNet/masks/{n}.png\n" for n in (3, 0, 1)]
    (tmp_path / "train.txt").write_text("".join(lines))
    (tmp_path / "val.txt").write_text("4\n2\n")
    settings = {"root": str(tmp_path), "classes": ("a", "b"), "image_size": 16}
    data = MaskFolder(split_files=LISTS, **settings)
    assert data.faults() == [] and data.lengths == {"train": 3, "val": 2}
    assert [data.sample_name("train", at) for at in range(3)] == ["3.jpg", "0.jpg", "1.jpg"]
    assert [int(data.class_map("train", at)[0, 0]) for at in range(3)] == [1, 0, 1]
    (tmp_path / "val.txt").write_text("4\n5\n")
    (fault,) = MaskFolder(split_files=LISTS, **settings).faults()
    assert "images without a mask: 5.jpg" in str(fault)


def test_a_line_means_the_nearest_file(tmp_path):
    (tmp_path / "t").write_text("a/1.jpg\nx/y/b/1.jpg\n2\n")
    faults, warnings = [], []
    names = [b"a/1.jpg", b"b/1.jpg", b"a/2.png"]
    found = members({"train": "t"}, tmp_path, names, faults, warnings)
    assert found["train"].tolist() == [0, 1, 2] and faults == warnings == []


def test_names_with_blanks_are_found_whole_and_before_further_words(tmp_path):
    for name in ("my cat.jpg", "my.jpg", "a  b 1.jpg", "c.jpg"):
        photo(tmp_path / "cat" / name)
    photo(tmp_path / "dog" / "d.jpg")
    lines = ["cat/my cat.jpg", "my.jpg 0", "cat/a  b 1.jpg 3 dog/d.jpg", "d"]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "val.txt").write_text("c 7\n")
    data = Folder(root=str(tmp_path), split_files=LISTS, image_size=16)
    _ = data.contents
    found = [data.sample_name("train", at) for at in range(data.lengths["train"])]
    assert found == ["cat/my cat.jpg", "cat/my.jpg", "cat/a  b 1.jpg", "dog/d.jpg"]
    assert data.sample_name("val", 0) == "cat/c.jpg"
