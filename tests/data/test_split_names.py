"""Names of splits in any case, and that whatever is left out for its name or place is counted."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import wave

import numpy as np
import pytest

from vit.data.coco import Coco
from vit.data.core.split_names import split_of, words_for
from vit.data.folder import Folder
from vit.data.mask_folder import MaskFolder
from vit.data.voc import Voc
from vit.data.wav_folder import WavFolder
from vit.data.yolo import Yolo


def said(data):
    return "\n".join(str(fault) for fault in data.faults())


def odd(data):
    assert said(data) == ""
    return "\n".join(data.warnings())


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Train TRAINING train2017 Train_images trn train-set"),
        ("val", "val valid Validation VALIDATION dev val2017 validate eval"),
        ("test", "test Testing TEST test_set tst test-2012"),
        (None, "trains trainer bullet_train valley testament cat attest devil 1"),
    ],
)
def test_names_mean_splits_in_any_case(split, names):
    assert {split_of(name) for name in names.split()} == {split}


def test_words_take_the_plainest_of_several():
    words = words_for(["Testing", "Training", "Train", "cat"], "folder")
    assert words == "data.train_folder=Train data.test_folder=Testing"


@pytest.mark.parametrize("names", [("Training", "Testing"), ("TRAIN", "Val"), ("Train", "docs")])
def test_split_folders_in_capitals_are_refused_with_the_words_that_read_them(
    photos, tmp_path, names
):
    root = tmp_path / "root"
    for name in names:
        shutil.copytree(photos, root / name)
    if "docs" in names:
        (root / "Test").mkdir()
        (root / "Test" / "cat").mkdir()
    message = said(Folder(root=str(root)))
    assert "look like splits and not like classes" in message
    assert f"data.train_folder={names[0]}" in message
    words = {f"{split_of(name)}_folder": name for name in names if split_of(name)}
    if "docs" in names:
        words["val_folder"] = None
        words["test_folder"] = None
    data = Folder(root=str(root), **words)
    assert data.contents.class_names == ("cat", "dog", "owl")
    if "docs" in names:
        assert [*data.contents.sources] == ["train"]
        assert any("the folder 'docs' with 30 images is left out" in w for w in data.warnings())


def test_training_and_testing_have_the_classes_within(photos, tmp_path):
    for name in ("Training", "Testing"):
        shutil.copytree(photos, tmp_path / "root" / name)
    for file in (tmp_path / "root" / "Testing").rglob("*.png"):
        file.rename(file.with_suffix(".PNG"))
    data = Folder(root=str(tmp_path / "root"), train_folder="Training", test_folder="Testing")
    assert data.contents.class_names == ("cat", "dog", "owl")
    assert data.lengths == {"train": 27, "val": 3, "test": 30}


def test_a_folder_counts_what_it_leaves_out(photos, tmp_path):
    root = tmp_path / "root"
    for number, name in enumerate(("train", "val", "Validation")):
        shutil.copytree(photos, root / name)
        for file in (root / name).rglob("*.png"):  # no copies of one another
            file.write_bytes(file.read_bytes() + bytes(number))
    (root / "train" / "loose.JPG").write_text("")
    (root / "train" / "cat" / "a.heic").write_text("")
    (root / "train" / "dog" / "b.HEIC").write_text("")
    (root / "train" / "dog" / "Thumbs.db").write_text("")
    warnings = odd(Folder(root=str(root)))
    assert "the folder 'Validation' with 30 images is left out" in warnings
    assert "none ends with .jpg" in warnings
    assert ": 2 .heic." in warnings
    assert "1 images lie beside its folders, and are left out: loose.JPG" in warnings


def test_files_of_coco_by_another_name_are_not_passed_over(coco_files):
    root = coco_files.write()
    notes = coco_files.root / "annotations"
    for name in ("valid.json", "Val.json", "val2017.json"):
        (notes / "val.json").rename(notes / name)
        assert f"data.val_file=annotations/{name}" in said(Coco(root=root, image_size=32))
        assert said(Coco(root=root, image_size=32, val_file=f"annotations/{name}")) == ""
        data = Coco(root=root, image_size=32, val_file=None, val_fraction=0.4)
        assert "2 of 5 images stand in none of the files of annotations" in odd(data)
        (notes / name).rename(notes / "val.json")
    (notes / "train.json").rename(notes / "instances_train2017.json")
    (notes / "val.json").rename(notes / "instances_val2017.json")
    data = Coco(root=root, image_size=32, train_file="annotations/instances_train2017.json")
    assert "data.val_file=annotations/instances_val2017.json" in said(data)


def test_folders_of_masks_in_capitals_are_refused_and_others_counted(mask_files):
    root = mask_files.write()
    for kind in ("images", "masks"):
        (mask_files.root / kind / "val").rename(mask_files.root / kind / "VAL")
    assert "data.val_folder=VAL" in said(MaskFolder(root=root, image_size=32))
    data = MaskFolder(root=root, image_size=32, val_folder="VAL")
    (mask_files.root / "images" / "more").mkdir()
    shutil.copy(mask_files.root / "images" / "train" / "1.jpg", mask_files.root / "images/more")
    assert data.lengths == {"train": 3, "val": 2}
    assert "the folder 'more' with 1 images is left out" in odd(
        MaskFolder(root=root, image_size=32, val_folder="VAL")
    )


@pytest.fixture
def yolo(tmp_path, write_images):
    for split, count in (("Train", 3), ("Valid", 2)):
        write_images(tmp_path / "Images" / split, count, size=(40, 30), suffix="JPG")
        labels = tmp_path / "Labels" / split
        labels.mkdir(parents=True)
        for at in range(count):
            (labels / f"{at:03}.TXT").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("Train: Images/Train\nVALID: Images/Valid\nnames: [a, b]\n")
    return tmp_path


def test_yolo_is_read_in_any_case_and_counts_what_has_no_partner(yolo):
    data = Yolo(root=str(yolo), image_size=(30, 40))
    assert odd(data).count("no box is of the category 'b'") == 1
    assert data.lengths == {"train": 3, "val": 2}
    assert data.describe()["train"]["objects"] == 3
    (yolo / "Images" / "Train" / "000.JPG").unlink()
    (yolo / "Labels" / "Valid" / "001.TXT").unlink()
    (yolo / "Images" / "Train" / "x.avif").write_text("")
    warnings = odd(Yolo(root=str(yolo), image_size=(30, 40)))
    assert "1 files of labels have no image in any split, and are left out: 000.TXT" in warnings
    assert "1 of 2 images have no file of labels" in warnings
    assert "left out, as no images: 1 .avif" in warnings
    (yolo / "data.yaml").write_text("train: Images/Train\nval: a\nvalid: b\nnames: [a]\n")
    assert "has 'val' and 'valid'" in said(Yolo(root=str(yolo)))


def test_names_of_yolo_are_the_text_that_stands_there(yolo):
    names = "[no, yes, 1, 2.0, null, 2020-01-01, 0x10, 1_000, ~, 2020-13-45]"
    (yolo / "data.yaml").write_text(f"train: Images/Train\nval:\ntest: ~\nnc: 10\nnames: {names}\n")
    found = Yolo(root=str(yolo)).contents.class_names
    assert found == (
        "no",
        "yes",
        "1",
        "2.0",
        "null",
        "2020-01-01",
        "0x10",
        "1_000",
        "~",
        "2020-13-45",
    )
    (yolo / "data.yaml").write_text("train: Images/Train\nnames: {0: off, 1: 'on'}\n")
    assert Yolo(root=str(yolo)).contents.class_names == ("off", "on")
    (yolo / "data.yaml").write_text("train: Images/Train\nnames: [a, '']\n")
    assert "names[1] is empty" in said(Yolo(root=str(yolo)))


@pytest.mark.parametrize(
    ("shape", "points"),
    [("[2, 2]", "0.41 0.42 0.59 0.58"), ("[4, 3]", "0.1 0.2 2 0.3 0.4 1 0.5 0.6 0 0.7 0.8 2")],
)
def test_keypoints_of_yolo_leave_their_box(yolo, shape, points):
    for file in (yolo / "Labels").rglob("*.TXT"):
        file.write_text(f"0 0.5 0.5 0.2 0.2 {points}\n")
    content = "train: Images/Train\nvalid: Images/Valid\nnames: [plate]\n"
    (yolo / "data.yaml").write_text(f"{content}kpt_shape: {shape}\n")
    data = Yolo(root=str(yolo), image_size=(30, 40))
    assert "the points left out" in odd(data)
    box = data.ground_truth("train")["annotations"][0]["bbox"]
    assert box == pytest.approx([16, 12, 8, 6])
    (yolo / "data.yaml").write_text(f"{content}kpt_shape: [3, 3]\n")
    assert "with 9 numbers of keypoints" in said(Yolo(root=str(yolo)))
    if shape == "[4, 3]":
        (yolo / "data.yaml").write_text(content)
        assert "data.yaml then needs kpt_shape" in said(Yolo(root=str(yolo)))


def test_turned_boxes_and_mixed_lines_of_yolo_are_reported(yolo):
    for file in (yolo / "Labels").rglob("*.TXT"):
        file.write_text("0 0.1 0.2 0.5 0.1 0.6 0.4 0.2 0.5\n")
    assert "as turned boxes (OBB) have" in odd(Yolo(root=str(yolo), image_size=32))
    (yolo / "Labels" / "Train" / "000.TXT").write_text("0 0.5 0.5 0.2 0.2\n")
    messages = odd(Yolo(root=str(yolo), image_size=32))
    assert "1 lines are boxes and 2 outlines" in messages


def test_lists_of_voc_by_another_name_are_not_passed_over(tmp_path, write_images):
    write_images(tmp_path / "JPEGImages", 4)
    for folder in ("Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for at in range(4):
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
        text = f"<annotation><object><name>a</name><bndbox>{box}</bndbox></object></annotation>"
        (tmp_path / "Annotations" / f"{at:03}.xml").write_text(text)
    (tmp_path / "ImageSets/Main/train.txt").write_text("\ufeff000\n001\n")
    (tmp_path / "ImageSets/Main/Valid.txt").write_text("002\n")
    assert "data.val_list=Valid" in said(Voc(root=str(tmp_path), image_size=32))
    data = Voc(root=str(tmp_path), image_size=32, val_list="Valid")
    assert data.lengths == {"train": 2, "val": 1}
    assert "1 files of annotations stand in no list, and are left out: 003" in odd(data)


def test_sounds_of_other_kinds_are_counted_and_splits_have_any_case(tmp_path):
    for split in ("Training", "TEST"):
        for name in ("a", "b"):
            for take in range(3):
                file = tmp_path / split / name / f"{take}.WAV"
                file.parent.mkdir(parents=True, exist_ok=True)
                with wave.open(str(file), "wb") as sound:
                    sound.setnchannels(1)
                    sound.setsampwidth(2)
                    sound.setframerate(16_000)
                    sound.writeframes(os.urandom(3200))
    (tmp_path / "Training" / "a" / "x.mp3").write_text("")
    data = WavFolder(root=str(tmp_path), pattern="{split}/{class}/{take}", val_fraction=0.3)
    assert data.lengths == {"train": 4, "val": 2, "test": 6}
    assert "as no .wav: 1 .mp3" in odd(data)


ORDERS = """
import sys
from vit.data.core.class_names import sorted_names
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.data.voc import Voc
from vit.data.folder import Folder
root = sys.argv[1]
print(Table(table=f"{root}/t.csv").read().class_names)
print(Table(table=f"{root}/t.csv", separator="|").read().class_names)
print(TextTable(train=f"{root}/t.tsv", input_column=0, target_column=1).read().class_names)
print(Voc(root=f"{root}/voc").read().class_names)
print(Folder(root=f"{root}/photos").read().class_names)
print(sorted_names(["1", "01", "2", "02", "-1", "٣", "3"]))
"""


def test_the_order_of_classes_does_not_depend_on_the_process(
    photos, tmp_path, write_images, monkeypatch
):
    names = ["b", "a|c", "10", "9", "x", "y y"]
    rows = [f"photos/cat/{at:03}.png,{name}" for at, name in enumerate(names)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    (tmp_path / "t.tsv").write_text("\n".join(f"text {at}\t{n}" for at, n in enumerate(names)))
    write_images(tmp_path / "voc" / "JPEGImages", 6)
    (tmp_path / "voc" / "Annotations").mkdir()
    for at, name in enumerate(names):
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
        text = f"<a><object><name>{name}</name><bndbox>{box}</bndbox></object></a>"
        (tmp_path / "voc" / "Annotations" / f"{at:03}.xml").write_text(text)
    process = subprocess.run(
        [sys.executable, "-c", ORDERS, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": "3", "PYTHONIOENCODING": "utf-8"},
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    here = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path)])
    with contextlib.redirect_stdout(here):  # under whatever seed the tests have
        exec(ORDERS, {})
    assert process.stdout == here.getvalue()
    assert "('-1', '01', '1', '02', '2', '3', '٣')" in here.getvalue()


def test_labels_that_are_one_number_are_a_fault(photos, tmp_path):
    from vit.data.table import Table
    from vit.data.text_table import TextTable

    for one, other in (("1", "01"), ("1", "1.0"), ("-0", "0")):
        rows = [f"cat/{at:03}.png,{(one, other)[at % 2]}" for at in range(4)]
        (photos / "t.csv").write_text("\n".join(["path,label", *rows]))
        message = said(Table(table=str(photos / "t.csv")))
        assert "are one number, and would be two classes" in message
        assert "t.csv" in message
        assert repr(one) in message
        assert repr(other) in message
        text = "".join(f"word {at}\t{(one, other)[at % 2]}\n" for at in range(4))
        (tmp_path / "t.tsv").write_text(text)
        assert "are one number" in said(TextTable(train=str(tmp_path / "t.tsv")))
    (photos / "cat").rename(photos / "1")
    (photos / "dog").rename(photos / "01")
    assert "are one number" in said(Folder(root=str(photos)))


def test_labels_that_are_one_number_hide_no_fault_of_texts(tmp_path):
    from vit.data.text_table import TextTable

    rows = [f"word {at}\t{('007', '07')[at % 2]}\n" for at in range(4)]
    (tmp_path / "t.tsv").write_text("".join(rows))
    (tmp_path / "v.tsv").write_text("a word\t8\n")
    data = TextTable(train=str(tmp_path / "t.tsv"), val=str(tmp_path / "v.tsv"))
    message = said(data)
    assert "'007' and '07' are one number" in message
    assert "classes that train lacks: 8" in message
    with pytest.raises(ValueError, match="are one number"):
        data.dataset("train", training=True)


def test_names_in_other_capitals_are_reported_of_lists_maps_and_sounds(coco_files, tmp_path):
    from vit.data.annotations.class_maps import read_class_map
    from vit.data.core.images import BadImage
    from vit.data.formats.wav_files import read_wav

    for one in coco_files.images:
        one["file_name"] = one["file_name"].upper()
    message = said(Coco(root=coco_files.write(), image_size=(30, 40)))
    assert "files are there in other capitals alone, such as" in message
    assert "but 1.png is there, in other capitals" in message
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"")
    result = "X/A.PNG: No such file or directory, but x/a.png is there, in other capitals"
    for read in (lambda file: read_class_map(file, np.zeros(256)), read_wav):
        with pytest.raises(BadImage, match=result):
            read(tmp_path / "X" / "A.PNG")
