"""Classes that val or test has and train lacks: every kind of data does the same."""

import shutil

import numpy as np
import pytest
from every_kind import noise, sounds, voc, write_ppm

from vit.data.box_table import BoxTable
from vit.data.core.sources import ArraySource, Contents
from vit.data.core.unseen_classes import without_unseen
from vit.data.folder import Folder
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.data.voc import Voc
from vit.data.wav_folder import WavFolder


def images(root, *names):
    for at, name in enumerate(names):
        write_ppm(root / name, noise(at, 8, 8, 3))


def folder(root, **more):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            images(root / split / name, *(f"{split}{name}{at}.ppm" for at in range(2)))
    images(root / "val" / "owl", "late.ppm")
    for at, file in enumerate(sorted(root.rglob("*.ppm"))):
        write_ppm(file, noise(at, 8, 8, 3))
    return Folder(root=str(root), **more)


def table(root, **more):
    rows = [("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "owl"), ("train", "dog")]
    images(root, *(f"{at}.ppm" for at in range(5)))
    lines = [f"{at}.ppm,{label},{split}" for at, (split, label) in enumerate(rows)]
    (root / "t.csv").write_text("\n".join(["path,label,split", *lines]) + "\n")
    return Table(table=str(root / "t.csv"), split_column="split", **more)


def texts(root, **more):
    root.mkdir()
    (root / "train.tsv").write_text("a mouse\tcat\na bone\tdog\n")
    (root / "val.tsv").write_text("some mice\tcat\nthe night\towl\n")
    files = {"train": str(root / "train.tsv"), "val": str(root / "val.tsv")}
    return TextTable(**files, vocabulary=300, **more)


def wavs(root, **more):
    sounds(root)
    (root / "val").mkdir()
    (root / "high").rename(root / "train_high")
    (root / "low").rename(root / "train_low")
    for name, take in (("owl", 1), ("high", 2)):
        other = root / f"val_{name}"
        other.mkdir()
        shutil.copy(root / "train_low" / f"{2 * take + 1:02}.wav", other / "new.wav")
        (root / "train_low" / f"{2 * take + 1:02}.wav").unlink()
    keys = {"sample_rate": 8000, "mels": 16, "seconds": 0.128, "window_ms": 16.0, "hop_ms": 8.0}
    return WavFolder(root=str(root), pattern="{split}_{class}/{name}", **keys, **more)


@pytest.mark.parametrize("kind", [folder, table, texts, wavs])
def test_a_class_that_train_lacks_is_refused_with_a_way_on_that_works(kind, tmp_path):
    (fault,) = kind(tmp_path / "a").faults()
    assert "classes that train lacks: owl." in str(fault)
    assert "data.on_unseen_class=skip leaves their 1 " in str(fault)
    data = kind(tmp_path / "b", on_unseen_class="skip")
    assert data.faults() == []
    assert [
        line for line in data.warnings() if "left out, of classes that train lacks: owl" in line
    ]
    assert "owl" not in data.facts.class_names
    described = data.describe()["val"]
    assert described["images"] == sum(described["per_class"].values()) > 0
    assert sum(len(batch) for batch in data.loader("val")) == described["images"]


def test_labels_keep_their_classes_where_one_in_the_middle_goes():
    sources = {
        "train": ArraySource(noise(0, 3, 8, 8), np.array([0, 2, 2])),
        "val": ArraySource(noise(1, 3, 8, 8), np.array([2, 1, 0])),
    }
    found = without_unseen(Contents(sources, class_names=("a", "b", "c")), "skip", "image")
    assert found.class_names == ("a", "c")
    assert found.sources["train"].labels.tolist() == [0, 1, 1]
    assert found.sources["val"].labels.tolist() == [1, -1, 0]
    assert found.unused["val"].tolist() == [1]
    assert sources["val"].labels.tolist() == [2, 1, 0]


def test_of_several_labels_an_image_goes_with_the_one_that_train_lacks():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32)
    sources = {
        "train": ArraySource(noise(0, 3, 8, 8), labels[[0, 0, 2]]),
        "val": ArraySource(noise(1, 3, 8, 8), labels),
    }
    contents = Contents(sources, class_names=("a", "b", "c"), multi_label=True)
    found = without_unseen(contents, "skip", "image")
    assert found.unused["val"].tolist() == [1]
    assert found.sources["val"].labels.tolist() == [[1, 0], [1, 0], [0, 1]]


def test_a_class_without_a_sample_anywhere_is_no_matter_of_splits():
    sources = {"train": ArraySource(noise(0, 2, 8, 8), np.array([0, 2]))}
    contents = Contents(sources, class_names=("a", "b", "c"))
    assert without_unseen(contents, "skip", "image") is contents


ROW = "{0}.ppm,40,30,{1},{2},2,10,12\n"


def box_table(root, **more):
    images(root, *(f"{at}.ppm" for at in range(5)))
    for at in range(5):
        write_ppm(root / f"{at}.ppm", noise(at, 30, 40, 3))
    heading = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    rows = [ROW.format(at, "cat" if at % 2 else "dog", at) for at in range(3)]
    (root / "train.csv").write_text(heading + "".join(rows))
    later = [ROW.format(3, "cat", 3), ROW.format(3, "owl", 5), ROW.format(4, "dog", 1)]
    (root / "val.csv").write_text(heading + "".join(later))
    files = {"train": str(root / "train.csv"), "val": str(root / "val.csv")}
    return BoxTable(**files, image_size=16, **more)


def voc_files(root, **more):
    voc(root)
    file = root / "Annotations" / "004.xml"
    text = file.read_text()
    start, end = text.index("<object>"), text.index("</annotation>")
    file.write_text(text[:end] + text[start:end].replace("dog", "owl") + text[end:])
    return Voc(root=str(root), image_size=16, **more)


@pytest.mark.parametrize("kind", [box_table, voc_files])
def test_boxes_of_a_class_that_train_lacks_likewise(kind, tmp_path):
    (fault,) = kind(tmp_path / "a").faults()
    assert "classes that train lacks: owl." in str(fault)
    assert "data.on_unseen_class=skip leaves their 1 box out" in str(fault)
    data = kind(tmp_path / "b", on_unseen_class="skip")
    assert data.faults() == []
    assert [line for line in data.warnings() if "1 box is left out, of classes" in line]
    described = data.describe()["val"]
    assert (described["images"], "owl" in described["per_class"]) == (2, False)
    assert described["objects"] == sum(described["per_class"].values()) > 0


@pytest.mark.parametrize("how", ["error", "skip"])
@pytest.mark.parametrize("kind", [table, box_table, voc_files])
def test_classes_that_the_user_names_stay_as_named(kind, how, tmp_path):
    names = ("owl", "dog", "cat", "person")
    data = kind(tmp_path / "a", classes=names, on_unseen_class=how)
    assert data.faults() == []
    assert tuple(data.facts.class_names) == names and data.facts.num_classes == 4
    described = data.describe()
    assert described["val"]["per_class"]["owl"] == 1
    assert described["train"]["per_class"]["owl"] == 0


def test_of_a_table_it_is_said_which_of_them_nothing_teaches(tmp_path):
    data = table(tmp_path / "a", classes=("owl", "dog", "cat"), class_weights="balanced")
    (line,) = [line for line in data.warnings() if "no row of train" in line]
    assert "no row of train has owl of data.classes" in line
    assert np.isfinite(data.class_weight_values()).all()
