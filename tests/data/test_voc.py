"""Pascal VOC's folders: lists, boxes that count from 1, and what may be wrong with them."""

import numpy as np
import pytest

from vit.data.voc import Voc

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"""


def xml(*objects, width=40, height=30):
    inside = "".join(
        OBJECT.format(name=name, difficult=difficult, x0=x0, y0=y0, x1=x1, y1=y1)
        for name, difficult, x0, y0, x1, y1 in objects
    )
    return (
        f"<annotation><filename>other.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{inside}</annotation>"
    )


@pytest.fixture
def voc(tmp_path, write_images):
    root = tmp_path / "voc"
    write_images(root / "JPEGImages", 6, size=(40, 30))
    (root / "Annotations").mkdir()
    for number in range(6):
        objects = [("dog", 0, 1, 1, 10 + number, 20), ("cat", number % 2, 11, 6, 40, 30)]
        (root / "Annotations" / f"{number:03}.xml").write_text(xml(*objects))
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("000\n001\n002  1\n\n")
    (lists / "val.txt").write_text("003\n004\n")
    return root


def read(root, **settings):
    return Voc(**{"root": str(root), "image_size": (30, 40), "batch_size": 1, **settings})


def test_lists_boxes_and_difficult_objects(voc):
    data = read(voc)
    assert data.faults() == []
    assert data.lengths == {"train": 3, "val": 2}
    assert data.facts.class_names == ("cat", "dog")
    assert data.facts.class_ids == (1, 2)
    truth = data.ground_truth("train")
    assert [one["bbox"] for one in truth["annotations"][:2]] == [[0, 0, 10, 20], [10, 5, 30, 25]]
    assert [one["area"] for one in truth["annotations"][:2]] == [200, 750]
    assert [one["iscrowd"] for one in truth["annotations"]] == [0, 0, 0, 1, 0, 0]
    assert sum(sum(batch.objects.counts) for batch in data.loader("train")) == 5
    assert data.sample_name("val", 1) == "004.png"
    kept = read(voc, difficult="keep").ground_truth("train")["annotations"]
    assert not any(one["iscrowd"] for one in kept)


def test_names_may_have_spaces(voc):
    for folder, end in (("JPEGImages", "png"), ("Annotations", "xml")):
        (voc / folder / f"001.{end}").rename(voc / folder / f"my dog.{end}")
    (voc / "ImageSets" / "Main" / "train.txt").write_text("000 -1\nmy dog\n002  1\n")
    assert [read(voc).sample_name("train", at) for at in range(3)] == [
        "000.png",
        "my dog.png",
        "002.png",
    ]


def test_a_name_that_ends_like_a_flag_is_a_name(voc):
    for folder, end in (("JPEGImages", "png"), ("Annotations", "xml")):
        (voc / folder / f"001.{end}").rename(voc / folder / f"dog 1.{end}")
    (voc / "ImageSets" / "Main" / "train.txt").write_text("000\ndog 1\n")
    assert read(voc).sample_name("train", 1) == "dog 1.png"


def test_without_lists_all_is_train_and_val_is_set_aside(voc):
    for file in (voc / "ImageSets" / "Main").iterdir():
        file.unlink()
    (voc / "ImageSets" / "Main").rmdir()
    assert read(voc, val_fraction=0.34).lengths == {"train": 4, "val": 2}


def test_sizes_that_the_file_does_not_say_are_those_of_the_image(voc):
    (voc / "Annotations" / "000.xml").write_text(
        "<annotation>"
        + OBJECT.format(name="dog", difficult=0, x0=31, y0=1, x1=99, y1=9)
        + "</annotation>"
    )
    data = read(voc)
    assert data.faults() == []
    assert any("clipped: ann 000.xml object 1" in line for line in data.warnings())
    assert data.ground_truth("train")["annotations"][0]["bbox"] == [30, 0, 10, 9]


def test_what_is_wrong_is_reported_together(voc):
    (voc / "Annotations" / "000.xml").write_text("<annotation>")
    (voc / "Annotations" / "001.xml").unlink()
    (voc / "Annotations" / "002.xml").write_text(xml(("dog", 0, "one", 1, 10, 20)))
    (voc / "Annotations" / "003.xml").write_text(xml(("cow", 0, 1, 1, 10, 20)))
    (voc / "JPEGImages" / "004.png").unlink()
    messages = "\n".join(str(fault) for fault in read(voc, classes=("cat", "dog")).faults())
    assert "no XML: 000.xml (" in messages
    assert "No such file or directory: 001.xml (1 in all)" in messages
    assert "the box is not four finite numbers: ann 002.xml object 1" in messages
    assert "the category is not listed: ann 003.xml object 1: 'cow'" in messages
    assert "004.jpg: No such file" in messages


def test_boxes_without_area_are_dropped(voc):
    (voc / "Annotations" / "000.xml").write_text(
        xml(("dog", 0, 10, 1, 9, 20), ("cat", 0, 1, 1, 5, 5))
    )
    data = read(voc)
    assert any("ann 000.xml object 1: width 0" in line for line in data.warnings())
    assert np.equal(data.ground_truth("train")["annotations"][0]["bbox"], [0, 0, 5, 5]).all()


def test_what_is_missing_or_cannot_be_asked_for_is_reported(voc, tmp_path):
    with pytest.raises(ValueError, match="no outlines"):
        read(voc, masks=True)
    assert "it has train, val" in str(read(voc, train_list="trainval").faults()[0])
    (fault,) = read(voc, val_list="vall").faults()
    assert "data.val_list=vall" in str(fault) and "it has train, val" in str(fault)
    assert read(voc, val_list=None, val_fraction=0.34).lengths == {"train": 2, "val": 1}
    assert "no folder 'XML'" in str(read(voc, annotations="XML").faults()[0])
    assert "no folder 'photos'" in str(read(voc, images="photos").faults()[0])


def test_what_lies_beside_an_image_under_its_name_is_not_taken_for_it(voc):
    for name in ("000.txt", "000.xmp"):
        (voc / "JPEGImages" / name).write_text("no image")
    data = read(voc)
    assert data.faults() == []
    assert data.sample_name("train", 0).endswith("000.png")


def test_fractions_are_no_pixels(voc):
    for file in (voc / "Annotations").iterdir():
        file.write_text(xml(("dog", 0, 0.1, 0.2, 0.5, 0.6), ("cat", 0, 0.3, 0.3, 0.6, 0.6)))
    messages = [str(fault) for fault in read(voc).faults()]
    assert any("6 of 6 boxes are within 0 to 1: this looks normalised" in one for one in messages)


def test_lists_in_another_folder_are_not_passed_over(voc):
    for file in (voc / "ImageSets" / "Main").iterdir():
        file.rename(voc / "ImageSets" / file.name)
    (voc / "ImageSets" / "Main").rmdir()
    (fault,) = read(voc).faults()
    assert "lists in 'ImageSets'; set data.lists=ImageSets" in str(fault)
    assert read(voc, lists="ImageSets").lengths == {"train": 3, "val": 2}


def test_an_empty_list_is_reported_as_such(voc):
    (voc / "ImageSets" / "Main" / "train.txt").write_text("\n")
    (fault,) = read(voc).faults()
    assert "train.txt is empty; wanted a name a line" in str(fault)


def test_other_xml_is_a_fault_and_another_filename_a_warning(voc):
    (voc / "Annotations" / "000.xml").write_text("<html></html>")
    (voc / "Annotations" / "001.xml").write_text(
        xml(("dog", 0, 1, 1, 9, 9), ("cat", 0, 1, 1, 9, 9)).replace("other", "001")
    )
    data = read(voc)
    (fault,) = data.faults()
    assert "XML that is no <annotation>: 000.xml (<html>) (1 in all)" in str(fault)
    (warning,) = [line for line in data.warnings() if "<filename>" in line]
    assert "002.xml (other.jpg)" in warning and "001.xml" not in warning


def test_corners_may_be_edges_that_count_from_zero(voc):
    ones, zeros = (
        read(voc, first_pixel=first).ground_truth("train")["annotations"] for first in (1, 0)
    )
    for one, zero in zip(ones, zeros, strict=True):
        left, top, width, height = zero["bbox"]
        assert tuple(one["bbox"]) == (left - 1, top - 1, width + 1, height + 1)
