"""Tables with a row a box: the boxes of the same set in COCO's form, and what may be wrong."""

import json

import numpy as np
import pytest
from PIL import Image

from vit.data.box_table import BoxTable
from vit.data.coco import Coco

WIDE, HIGH = 40, 32
NAMES = {"train": ["a.jpg", "b.jpg", "c.jpg"], "val": ["d.jpg", "e.jpg"]}
# image, class, left, top, right, bottom; c.jpg has none
BOXES = {
    "train": [
        ("a.jpg", "dog", 2, 3, 12, 20),
        ("a.jpg", "cat", 5, 5, 25, 15),
        ("b.jpg", "cat", 0, 0, 40, 32),
    ],
    "val": [("d.jpg", "dog", 8, 4, 16, 12), ("e.jpg", "cat", 10, 10, 30, 30)],
}
TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax"
OPEN_IMAGES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"


def tensorflow(image, label, left, top, right, bottom):
    return f"{image},{WIDE},{HIGH},{label},{left},{top},{right},{bottom}"


def open_images(image, label, left, top, right, bottom, group=0):
    x, y = (left / WIDE, right / WIDE), (top / HIGH, bottom / HIGH)
    return f"{image[:-4]},xclick,{label},1,{x[0]},{x[1]},{y[0]},{y[1]},0,{group}"


@pytest.fixture
def root(tmp_path):
    """Images, and the set in COCO's form, whose classes have the order of the alphabet."""
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    for split, names in NAMES.items():
        for name in names:
            pixels = np.random.default_rng([*name.encode()]).integers(0, 255, (HIGH, WIDE, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / name)
        content = {
            "images": [
                {"id": at, "file_name": name, "width": WIDE, "height": HIGH}
                for at, name in enumerate(names)
            ],
            "annotations": [
                {
                    "id": at,
                    "image_id": names.index(image),
                    "category_id": 1 + (label == "dog"),
                    "bbox": [left, top, right - left, bottom - top],
                    "iscrowd": 0,
                }
                for at, (image, label, left, top, right, bottom) in enumerate(BOXES[split])
            ],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        }
        (tmp_path / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return tmp_path


def write(root, split, header, lines):
    file = root / f"{split}.csv"
    file.write_text("\n".join([header, *lines]) + "\n")
    return str(file)


def table(root, header=TENSORFLOW, row=tensorflow, bare="c.jpg,,,,,,,", **settings):
    files = {
        split: write(root, split, header, [row(*box) for box in BOXES[split]]) for split in BOXES
    }
    if bare:
        with (root / "train.csv").open("a") as stream:
            stream.write(f"{bare}\n")
    return BoxTable(**files, root=str(root / "images"), image_size=32, **settings)


def truth(data, split):
    """What the metric is told, without ids."""
    found = data.ground_truth(split)
    names = {one["id"]: one["file_name"] for one in found["images"]}
    return sorted(
        (names[one["image_id"]], one["category_id"], tuple(one["bbox"]), one["iscrowd"])
        for one in found["annotations"]
    )


FORMS = {
    "TensorFlow": {},
    "Open Images": {"header": OPEN_IMAGES, "row": open_images, "bare": "c,,,,,,,,,"},
    "corners alone": {
        "header": "image_path,x1,y1,x2,y2,label",
        "row": lambda image, label, *box: ",".join(map(str, (f"images/{image}", *box, label))),
        "bare": "c.jpg,,,,,",
    },
    "named": {
        "header": "photo;kind;w0;h0;w1;h1",
        "row": lambda image, label, *box: ";".join(map(str, (image, label, *box))),
        "bare": "c;;;;;",
        "image_column": "photo",
        "class_column": "kind",
        "box_columns": ("w0", "h0", "w1", "h1"),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_boxes_are_those_of_the_same_set_in_cocos_form(root, form):
    data = table(root, **FORMS[form])
    if form == "corners alone":  # a folder before the names, which the root already is
        data.root = str(root)
    coco = Coco(root=str(root), image_size=32, test_file=None)
    assert data.faults() == coco.faults() == []
    assert data.facts.class_names == coco.facts.class_names == ("cat", "dog")
    for split in BOXES:
        assert data.lengths[split] == coco.lengths[split]
        told = [
            (*one[:2], tuple(round(n, 9) for n in one[2]), one[3]) for one in truth(data, split)
        ]
        found = [(name.removeprefix("images/"), *rest) for name, *rest in told]
        assert found == truth(coco, split)
    assert any("1 of 3 images have no object" in line for line in data.warnings())


def test_a_row_of_a_group_is_a_crowd(root):
    data = table(root, OPEN_IMAGES, lambda *box: open_images(*box, group=1), bare="")
    assert {crowd for *_, crowd in truth(data, "train")} == {1}


def test_corners_that_count_from_one_hold_their_last_pixel(root):
    (edges, inside) = (truth(table(root, first_pixel=one), "train") for one in (0, 1))
    assert edges[1][2] == (2, 3, 10, 17)
    assert inside[1][2] == (1, 2, 11, 18)


def test_images_in_no_row_are_left_out_or_background(root):
    left = table(root, bare="")
    assert left.lengths["train"] == 2
    assert any("1 of 5 images stand in no row" in line for line in left.warnings())
    data = table(root, bare="", unlisted="background")
    assert data.lengths["train"] == 3 and data.faults() == []
    assert not any("stand in no row" in line for line in data.warnings())
    assert data.fingerprint() != left.fingerprint() == table(root, bare="").fingerprint()


def test_a_column_parts_one_table_and_a_set_without_val_lends_from_train(root):
    lines = [
        f"{tensorflow(*box)},{word}"
        for word, split in (("train", "train"), ("valid", "val"))
        for box in BOXES[split]
    ]
    file = write(root, "all", f"{TENSORFLOW},split", lines)
    data = BoxTable(train=file, root=str(root / "images"), split_column="split", image_size=32)
    assert data.faults() == [] and data.lengths == {"train": 2, "val": 2}
    carved = BoxTable(train=file, root=str(root / "images"), val_fraction=0.5, image_size=32)
    assert carved.faults() == [] and carved.lengths == {"train": 2, "val": 2}


def test_each_table_has_its_own_folder_where_no_root_is_given(root):
    for split, names in NAMES.items():
        (root / split).mkdir()
        for name in names:
            (root / "images" / name).rename(root / split / name)
        write(root / split, "_annotations", TENSORFLOW, [tensorflow(*box) for box in BOXES[split]])
    files = {split: str(root / split / "_annotations.csv") for split in NAMES}
    data = BoxTable(**files, image_size=32)
    assert data.faults() == [] and data.lengths == {"train": 2, "val": 2}
    alone = BoxTable(train=files["train"], image_size=32, val_fraction=0.5)
    assert any(f"data.val={files['val']}" in line for line in alone.warnings())


def test_everything_wrong_with_the_rows_is_said_at_once(root):
    lines = [
        tensorflow("a.jpg", "dog", 2, 3, 12, 20),
        tensorflow("z.jpg", "dog", 2, 3, 12, 20),
        tensorflow("", "dog", 2, 3, 12, 20),
        tensorflow("b.jpg", "", 2, 3, 12, 20),
        tensorflow("b.jpg", "cat", "", "", "", ""),
    ]
    file = write(root, "bad", TENSORFLOW, lines)
    faults = [str(one) for one in BoxTable(train=file, root=str(root / "images")).faults()]
    for said in (
        "images that are not there: row 2 (z.jpg)",
        "no name of an image: row 3",
        "no class beside a box: row 4",
        "no box beside a class: row 5",
    ):
        assert any(said in fault for fault in faults), (said, faults)


ONE = tensorflow("a.jpg", "dog", 1, 2, 9, 9)
PLACES = ["data.image_column", "data.class_column", "data.box_columns"]


@pytest.mark.parametrize(
    ("header", "line", "settings", "said"),
    [
        ("picture,kind,x,y", "a.jpg,dog,1,2", {}, PLACES),
        (TENSORFLOW, tensorflow("a.jpg", "dog", 1, "x", 9, 9), {}, ["row 1", "not four finite"]),
        (TENSORFLOW, ONE, {"class_column": "clas"}, ["Did you mean 'class'?"]),
        (TENSORFLOW, ONE, {"box_columns": ("xmin", "ymin")}, ["left, top, right"]),
        (TENSORFLOW, ONE, {"classes": ("cat", "owl")}, ["not listed"]),
        (TENSORFLOW, "c.jpg,,,,,,,", {}, ["has a class"]),
        (f"{TENSORFLOW},set", f"{ONE},moon", {"split_column": "set"}, ["not train, val", "moon"]),
    ],
)
def test_a_table_that_cannot_be_read_says_what_was_wanted(root, header, line, settings, said):
    file = write(root, "bad", header, [line])
    data = BoxTable(train=file, root=str(root / "images"), image_size=32, **settings)
    faults = "\n".join(map(str, data.faults()))
    assert all(word in faults for word in said), faults


def test_one_file_for_two_splits_and_files_that_are_missing_are_refused_together(root):
    file = write(root, "one", TENSORFLOW, [tensorflow(*BOXES["train"][0])])
    data = BoxTable(train=file, val=file, test=str(root / "none.csv"))
    faults = "\n".join(map(str, data.faults()))
    assert "is the file of train too" in faults and "none.csv is no file" in faults
    with pytest.raises(ValueError, match="no outlines"):
        BoxTable(train=file, masks=True)
    with pytest.raises(ValueError, match="wanted one of them"):
        BoxTable(train=file, val=file, split_column="split")


def test_one_image_in_two_splits_is_a_fault(root):
    files = {
        split: write(root, split, TENSORFLOW, [tensorflow("a.jpg", "dog", 2, 3, 9, 9)])
        for split in ("train", "val")
    }
    faults = BoxTable(**files, root=str(root / "images"), image_size=32).faults()
    assert any("images are in train too" in str(fault) for fault in faults)
