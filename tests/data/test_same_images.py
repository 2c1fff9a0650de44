"""One image twice: by its path in whatever spelling, and by its bytes."""

import os
import shutil
import time

import numpy as np
import pytest
from scipy.io import wavfile

from vit.data.core import same_files
from vit.data.core.same_files import RealPaths, same_bytes, same_paths
from vit.data.core.sources import FileSource
from vit.data.folder import Folder
from vit.data.mask_folder import MaskFolder
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.data.torchvision_sets import TorchvisionSet
from vit.data.voc import Voc
from vit.data.wav_folder import WavFolder
from vit.data.yolo import Yolo


def messages_of(data, **words):
    return "\n".join(str(fault) for fault in data.faults(**words))


def coco(files):
    from vit.data.coco import Coco

    return Coco(root=files.write(), image_size=(30, 40))


def test_an_image_under_two_ids_of_coco_is_named(coco_files):
    for one in list(coco_files.images):
        coco_files.images.append({**one, "id": one["id"] + 1000})
    said = messages_of(coco(coco_files))
    assert "3 images have more than one row or entry, such as '1.png'" in said
    assert "train.json" in said


@pytest.mark.parametrize("spelling", ["./4.png", "../images/4.png", "x/../4.png", "link.png"])
def test_an_image_of_two_splits_is_a_fault_however_it_is_spelt(coco_files, spelling):
    (coco_files.root / "images" / "x").mkdir()
    (coco_files.root / "images" / "link.png").symlink_to("4.png")
    coco_files.images[0]["file_name"] = spelling
    assert f"1 images are in train too, such as '4.png', which is '{spelling}'" in messages_of(
        coco(coco_files)
    )


@pytest.mark.parametrize("spelling", ["./cat/001.png", "{root}/cat/001.png", "dog/../cat/001.png"])
def test_a_file_of_a_table_by_two_spellings_has_more_than_one_row(photos, spelling):
    rows = ["path,label", "cat/001.png,a", "dog/001.png,b", f"{spelling.format(root=photos)},a"]
    (photos / "t.csv").write_text("\n".join(rows))
    assert "1 images have more than one row" in messages_of(Table(table=str(photos / "t.csv")))


def test_links_of_folders_do_not_put_an_image_into_two_splits(photos, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(photos, root / "train")
    (root / "val" / "cat").mkdir(parents=True)
    (root / "val" / "dog").symlink_to(root / "train" / "dog")
    (root / "val" / "cat" / "a.png").symlink_to(root / "train" / "cat" / "003.png")
    said = messages_of(Folder(root=str(root)))
    assert "11 images are in train too, such as 'cat/a.png', which is 'cat/003.png'" in said


def test_a_list_of_yolo_and_one_of_voc_name_an_image_once(tmp_path, write_images):
    write_images(tmp_path / "y" / "images", 4)
    (tmp_path / "y" / "train.txt").write_text("images/000.png\n./images/../images/000.png\n")
    (tmp_path / "y" / "val.txt").write_text("images/002.png\n")
    (tmp_path / "y" / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [a]\n")
    assert "1 images have more than one row or entry" in messages_of(
        Yolo(root=str(tmp_path / "y"), image_size=32)
    )
    voc = tmp_path / "v"
    write_images(voc / "JPEGImages", 2)
    for folder in ("Annotations", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True)
    for name in ("000", "001"):
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax>"
        text = f"<annotation><object><name>a</name><bndbox>{box}</bndbox></object></annotation>"
        (voc / "Annotations" / f"{name}.xml").write_text(text)
    for split in ("train", "val"):
        (voc / "ImageSets/Main" / f"{split}.txt").write_text("000\n001\n")
    assert "2 images are in train too" in messages_of(Voc(root=str(voc), image_size=32))


def test_masks_have_the_rule_too(mask_files):
    link = mask_files.root / "images" / "val" / "4.jpg"
    link.unlink()
    link.symlink_to("../train/1.jpg")
    said = messages_of(MaskFolder(root=mask_files.write(), image_size=32))
    assert "1 images are in train too, such as 'val/4.jpg', which is 'train/1.jpg'" in said


def test_one_file_is_no_two_splits_of_texts(tmp_path):
    (tmp_path / "a.tsv").write_text("x\ty\n" * 9)
    other = tmp_path / "." / "b" / ".." / "a.tsv"
    (tmp_path / "b").mkdir()
    said = messages_of(TextTable(train=str(tmp_path / "a.tsv"), val=str(other)))
    assert "is the file of train too" in said


@pytest.mark.parametrize("full", [False, True])
def test_copies_in_two_splits_are_faults_of_any_check(photos, tmp_path, full):
    root = tmp_path / "root"
    for split in ("train", "val"):
        shutil.copytree(photos, root / split)
    for file in (root / "val").rglob("*.png"):
        file.write_bytes(file.read_bytes() + b"\0")
    shutil.copy(root / "train" / "cat" / "000.png", root / "val" / "cat" / "zzz.png")
    said = messages_of(Folder(root=str(root)), full=full)
    assert "1 images of val hold the same bytes as images of train" in said
    assert "'cat/zzz.png', a copy of 'cat/000.png'" in said


@pytest.mark.parametrize("full", [False, True])
def test_copies_within_a_split_and_in_one_set_aside_are_warnings(photos, full):
    for name in ("a", "b", "c"):
        shutil.copy(photos / "cat" / "000.png", photos / "dog" / f"{name}.png")
    data = Folder(root=str(photos))
    assert data.warnings() == []
    assert data.faults(full=full) == []
    within = next(line for line in data.warnings() if line.startswith("train: "))
    assert "of them with another class" in within
    assert "('dog' and 'cat')" in within


def test_copies_are_looked_for_in_every_kind_of_files(photos, tmp_path, coco_files, mask_files):
    """Each kind has one image of train in another split too, under another name."""
    rows = ["path,label,split", "cat/000.png,a,train", "dog/000.png,b,train", "z.png,a,test"]
    shutil.copy(photos / "cat" / "000.png", photos / "z.png")
    (photos / "t.csv").write_text("\n".join(rows))
    table = Table(table=str(photos / "t.csv"), split_column="split")
    assert "1 images of test hold the same bytes as images of train" in messages_of(table)

    images = coco_files.root / "images"
    boxes = coco(coco_files)
    assert messages_of(boxes) == ""
    shutil.copy(images / "1.png", images / "4.png")
    boxes = coco(coco_files)
    assert "'4.png', a copy of '1.png'" in messages_of(boxes)

    root = mask_files.write()
    shutil.copy(mask_files.root / "images/train/1.jpg", mask_files.root / "images/val/4.jpg")
    masks = MaskFolder(root=root, image_size=32)
    assert "'val/4.jpg', a copy of 'train/1.jpg'" in messages_of(masks)


def test_copies_of_sounds_are_reported_as_sounds(tmp_path):
    for name in ("train/a/1", "train/b/1", "val/a/1", "val/b/1"):
        file = tmp_path / f"{name}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(np.arange(16_000) * (1 + len(list(tmp_path.rglob("*.wav"))) / 10))
        wavfile.write(file, 16_000, (tone * 20_000).astype(np.int16))
    shutil.copy(tmp_path / "train/a/1.wav", tmp_path / "val/a/2.wav")
    said = messages_of(WavFolder(root=str(tmp_path), pattern="{split}/{class}/{name}"))
    assert "1 sounds of val hold the same bytes as sounds of train" in said


def test_of_more_files_than_are_cheap_a_line_says_that_nobody_looked(photos, monkeypatch):
    shutil.copy(photos / "cat" / "000.png", photos / "dog" / "a.png")
    monkeypatch.setattr(same_files, "MOST_FILES", 5)
    data = Folder(root=str(photos))
    assert data.faults() == []
    (line,) = data.warnings()
    assert "were not looked for" in line
    assert "--full" in line
    assert data.faults(full=True) == []
    assert "hold the same bytes" in "\n".join(data.warnings())


def test_files_that_are_alike_at_both_ends_are_no_copies(tmp_path):
    middle = bytearray(40_000)
    (tmp_path / "a").write_bytes(middle)
    middle[9_000] = 1  # between the pieces that are compared first
    (tmp_path / "b").write_bytes(middle)
    (tmp_path / "c").write_bytes(middle)
    source = FileSource(tmp_path, np.array([b"a", b"b", b"c"]), np.zeros(3))
    splits = {"train": ("train", np.arange(3))}
    assert same_bytes({"train": source}, splits, sparing=True).within == {"train": [(1, 2)]}


def test_copies_in_published_splits_are_reported_only(photos, tmp_path):
    for split in ("train", "test"):
        shutil.copytree(photos, tmp_path / split)
    data = TorchvisionSet(name="Imagenette", root=str(tmp_path), image_size=32)
    assert not [fault for fault in data.faults() if "same bytes" in str(fault)]
    assert any("that is published so" in line for line in data.warnings())


def test_a_hundred_thousand_paths_are_reported_apart_without_a_look_at_each(
    tmp_path, monkeypatch, slowness
):
    names = [f"{at % 100}/{at}.jpg" for at in range(100_000)]
    looks = []
    for name in ("stat", "lstat", "readlink"):
        known = getattr(os, name)
        monkeypatch.setattr(
            same_files.os, name, lambda *a, known=known, **k: looks.append(a) or known(*a, **k)
        )
    source = FileSource(tmp_path, np.array(names, dtype=bytes), np.zeros(len(names)))
    begin = time.process_time()
    found = same_paths({"train": source})
    assert found.within == found.across == {}
    assert time.process_time() - begin < 5 * slowness
    assert len(looks) < 2_000  # of folders


def test_capitals_tell_files_apart_unless_the_file_system_does_not(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("")
    assert RealPaths().of(f"{tmp_path}/A.JPG") != RealPaths().of(f"{tmp_path}/a.jpg")
    known = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: known(path.lower()) or known(path))
    assert RealPaths().of(f"{tmp_path}/A.JPG") == RealPaths().of(f"{tmp_path}/a.jpg")


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a.jpg").symlink_to("b.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    assert RealPaths().of(f"{tmp_path}/a.jpg")
