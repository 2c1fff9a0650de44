"""YOLO's folders: fractions become pixels, polygons masks, and what may be wrong with them."""

import numpy as np
import pytest
from PIL import Image

from vit.data.yolo import Yolo


@pytest.fixture
def yolo(tmp_path, write_images):
    root = tmp_path / "yolo"
    for split, count in (("train", 4), ("val", 2)):
        write_images(root / "images" / split, count, size=(40, 30))
        labels = root / "labels" / split
        labels.mkdir(parents=True)
        for number in range(count):
            labels.joinpath(f"{number:03}.txt").write_text("0 0.5 0.5 0.5 0.2\n1 0.1 0.2 0.1 0.1\n")
    (root / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n"
    )
    return root


def read(root, **settings):
    return Yolo(**{"root": str(root), "image_size": (30, 40), "batch_size": 1, **settings})


def faults(root, **settings):
    return "\n".join(str(fault) for fault in read(root, **settings).faults())


def test_fractions_become_pixels_of_each_image(yolo):
    Image.new("RGB", (80, 60)).save(yolo / "images" / "train" / "001.png")
    data = read(yolo)
    assert data.faults() == []
    assert data.lengths == {"train": 4, "val": 2}
    assert data.facts.class_names == ("cat", "dog")
    assert data.facts.class_ids == (0, 1)
    boxes = [one["bbox"] for one in data.ground_truth("train")["annotations"]]
    assert np.allclose(boxes[:2], [[10, 12, 20, 6], [2, 4.5, 4, 3]])
    assert np.allclose(boxes[2:4], [[20, 24, 40, 12], [4, 9, 8, 6]])
    assert data.sample_name("val", 0) == "images/val/000.png"


def test_polygons_are_masks_and_their_bounds_boxes(yolo):
    for file in (yolo / "labels").rglob("*.txt"):
        file.write_text("1 0.25 0.2 0.75 0.2 0.75 0.6\n")
    data = read(yolo, masks=True)
    assert data.faults() == []
    one = data.ground_truth("train")["annotations"][0]
    assert np.allclose(one["bbox"], [10, 6, 20, 12])
    assert one["area"] == pytest.approx(120, abs=15)
    mask = next(iter(data.loader("val"))).objects.masks[0]
    assert mask[7, 28]
    assert not mask[17, 12]
    assert read(yolo).ground_truth("train")["annotations"][0]["area"] == one["area"]


def test_images_without_a_file_of_labels_have_no_object(yolo):
    (yolo / "labels" / "train" / "000.txt").unlink()
    (yolo / "labels" / "train" / "001.txt").write_text("\n")
    data = read(yolo)
    assert data.faults() == []
    assert data.describe()["train"]["empty"] == 2
    assert any("2 of 4 images have no object" in line for line in data.warnings())


def test_lines_that_are_wrong_are_reported_together_by_file_and_line(yolo):
    write = (yolo / "labels" / "train" / "000.txt").write_text
    write("0 0.5 0.5 0.5\n1 0.5 nan 0.1 0.1\n0 20 15 10 10\n2 0.5 0.5 0.1 0.1\n0 a b c d\n")
    messages = faults(yolo)
    assert "labels/train/000.txt:1 '0 0.5 0.5 0.5'" in messages
    assert "labels/train/000.txt:2 '1 0.5 nan 0.1 0.1'" in messages
    assert "(3 in all)" in messages
    assert "looks like pixels; wanted fractions of the image: labels/train/000.txt:3" in messages
    assert "the category is not listed: ann labels/train/000.txt:4: 2 (1 in all)" in messages


def test_missing_and_broken_images_are_reported(yolo):
    (yolo / "images" / "train" / "000.png").write_bytes(b"no image")
    assert "000.png: not an image" in faults(yolo)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("train: images/train\nnames: [a, b]\nnc: 3\n", "nc=3, but there are 2 names"),
        ("train: images/train\n", "names=None"),
        ("names: [a]\n", "has no `train`"),
        ("train: images/tain\nnames: [a]\n", "train is 'images/tain', but there is no"),
        ("a: [", "is no YAML"),
        ("text", "holds no keys"),
    ],
)
def test_a_file_that_does_not_say_what_it_must_is_reported(yolo, content, said):
    (yolo / "data.yaml").write_text(content)
    assert said in faults(yolo)


def test_all_that_is_wrong_with_a_file_is_said_at_once(yolo):
    (yolo / "val.txt").write_text("images/val/000.png\n../\0\n\0\n")
    (yolo / "data.yaml").write_text(
        "train: images/tain\nval: val.txt\ntest: [{}]\nValid: a\nnames: [a, '']\nnc: 3\nnc: 3\n"
        "kpt_shape: 17\npath: []\n"
    )
    lines = faults(yolo).splitlines()
    wanted = (
        "gives 'nc' more than once",
        "names[1] is empty",
        "nc=3, but there are 2 names",
        "kpt_shape is no list",
        "path is no text",
        "has 'val' and 'Valid'",
        "train is 'images/tain', but there is no",
        "(2 in all)",
        "test is no path",
    )
    assert len(lines) == len(wanted)
    for said in wanted:
        assert sum(said in line for line in lines) == 1, said


def test_folders_are_found_as_tools_write_them(yolo):
    names = "names: {0: cat, 1: dog}\n"
    for content in (
        f"path: {yolo}\ntrain: images/train\nval: images/val\n",
        "path: elsewhere\ntrain: images/train\nvalid: images/val\n",
        "train: ../images/train\nval: ../images/val\n",
        "train: [images/train]\nval: val.txt\n",
    ):
        (yolo / "val.txt").write_text("images/val/000.png\nimages/val/001.png\n")
        (yolo / "data.yaml").write_text(content + names)
        data = read(yolo)
        assert data.faults() == []
        assert data.lengths == {"train": 4, "val": 2}
        assert data.describe()["val"]["objects"] == 4


def test_the_same_names_in_two_folders_are_two_images(yolo):
    (yolo / "data.yaml").write_text("train: [images/train, images/val]\nnames: [cat, dog]\n")
    data = read(yolo, val_fraction=0.34)
    assert data.faults() == []
    assert data.lengths == {"train": 4, "val": 2}


def test_the_fingerprint_does_not_know_where_the_data_lie(yolo, tmp_path):
    before = read(yolo).fingerprint()
    yolo.rename(tmp_path / "moved")
    assert read(tmp_path / "moved").fingerprint() == before


def test_two_images_of_one_file_of_labels_are_reported_as_that(yolo, write_images):
    Image.new("RGB", (40, 30)).save(yolo / "images" / "train" / "001.jpg")
    said = faults(yolo)
    assert "one file of labels is of two or more images: labels/train/001.txt (1 in all)" in said
    assert "same id" not in said


def test_a_class_that_is_no_number_of_one_is_reported_briefly(yolo):
    (yolo / "labels" / "train" / "000.txt").write_text("1e300 0.5 0.5 0.5 0.2\n")
    (line,) = faults(yolo).splitlines()
    assert "the category is not listed: ann labels/train/000.txt:1: 1e+300" in line
    assert len(line) < 300


def test_a_file_of_names_that_says_them_twice_or_is_a_folder(yolo):
    file = yolo / "data.yaml"
    file.write_text("train: images/train\nval: images/val\nnames: [cat, cat]\n")
    assert any("0, 1 are all called 'cat', and are taken for 2" in s for s in read(yolo).warnings())
    file.write_text(file.read_text() + "names: [cat, dog]\n")
    assert "data.yaml gives 'names' more than once" in faults(yolo)
    file.unlink()
    file.mkdir()
    assert "data.yaml is a folder; wanted a YAML file" in faults(yolo)
