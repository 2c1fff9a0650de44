"""Folders are listed within bounds, whatever lies in them, and nothing is read but heads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from layout_files import classes, coco, pictures, text
from layouts_of_marks import masks_of_camvid, masks_usual, masks_with_void

from vit.cli.compose import compose
from vit.data.annotations import map_classes
from vit.data.core.images import SUFFIXES
from vit.data.recognition import heads, listing, masks
from vit.data.recognition.layout import quoted, size_words, word
from vit.data.recognition.listing import listing_of
from vit.data.recognition.recognise import recognise
from vit.runs.directory import RunFolder
from vit.structures import IGNORED


def test_recognising_imports_no_torch():
    code = (
        "import sys; from vit.data.recognition.recognise import recognise; recognise('.'); "
        "assert not {'torch', 'torchvision', 'hydra', 'pandas'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert map_classes.IGNORED == IGNORED


def test_more_files_than_the_bound_are_told(tmp_path, monkeypatch):
    classes(tmp_path, count=5)
    monkeypatch.setattr(listing, "MOST_FILES", 12)
    found = recognise(tmp_path)
    assert found.layouts[0].kind == "class_folders"
    assert "at least" in found.layouts[0].evidence[0]
    assert "not all was listed" in found.remarks[0]


def test_a_hundred_thousand_files_take_seconds(tmp_path, slowness):
    for name in range(20):
        (tmp_path / f"class{name}").mkdir()
        for number in range(500):
            os.link(__file__, tmp_path / f"class{name}" / f"{number}.jpg")
    code = (  # in a process of its own: here each call's types are looked at
        "import sys, time; from vit.data.recognition.recognise import recognise; "
        "start = time.process_time(); print(recognise(sys.argv[1]).layouts[0].evidence[0]); "
        "print(time.process_time() - start)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert told[0].startswith("20 folders hold 10,000 images")
    assert float(told[1]) < 0.3 * slowness, "ten times as many are to take 3 s at most"


def test_a_tree_too_deep_ends(tmp_path):
    deep = tmp_path.joinpath(*["a"] * 40)
    deep.mkdir(parents=True)
    assert listing_of(tmp_path).cut


def test_links_in_a_circle_end_and_links_out_are_told(tmp_path):
    classes(tmp_path / "set")
    (tmp_path / "set" / "cat" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "self").symlink_to("self")
    pictures(tmp_path / "other", 3)
    (tmp_path / "set" / "pig").symlink_to(tmp_path / "other")
    found = recognise(tmp_path / "set")
    assert "pig 3" in found.layouts[0].evidence[0]
    assert found.remarks == ("1 link out of the folder, which are followed: pig",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all folders")
def test_a_folder_that_is_not_permitted_is_told(tmp_path):
    classes(tmp_path)
    (tmp_path / "cat").chmod(0)
    assert "1 folder cannot be read" in recognise(tmp_path).remarks[0]


def test_an_unreadable_folder_is_left_out(tmp_path, monkeypatch):
    classes(tmp_path)
    scan = os.scandir

    def refusing(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert recognise(tmp_path).remarks == ("1 folder cannot be read: cat (Permission denied)",)


def test_pipes_and_endless_files_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    os.mkfifo(tmp_path / "train.json")
    os.mkfifo(tmp_path / "data.yaml")
    assert recognise(tmp_path).layouts[0].kind == "unknown"
    assert recognise(tmp_path / "labels.csv").layouts[0].kind == "unknown"
    assert recognise("/dev/zero").layouts[0].kind == "unknown"


def test_a_bomb_is_unpacked_no_further_than_a_head(tmp_path):
    import gzip

    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"\0" * (1 << 24)))
    assert len(heads.head(tmp_path / "train.tsv.gz")) <= heads.HEAD
    assert recognise(tmp_path).layouts[0].kind == "unknown"


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "nul", '{"images": 3}', "\0\xff"])
def test_files_that_break_off_are_no_error(tmp_path, content):
    for name in ("a.json", "data.yaml", "a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.xml", "a.zip"):
        text(tmp_path / name, content)
    pictures(tmp_path / "images", 2)
    recognise(tmp_path)
    for file in tmp_path.iterdir():
        recognise(file)


def test_a_large_file_of_coco_is_known_by_its_ends(tmp_path, monkeypatch):
    names = pictures(tmp_path / "images", 6)
    coco(tmp_path / "annotations" / "train.json", names, outlines=True)
    monkeypatch.setattr(heads, "WHOLE", 100)
    monkeypatch.setattr(heads, "HEAD", 600)
    (found,) = recognise(tmp_path).layouts
    assert found.kind == "coco" and found.data == ("data=coco", word("data.root", str(tmp_path)))


def test_values_of_maps_are_read_from_some_only(tmp_path, monkeypatch):
    masks_usual(tmp_path)
    monkeypatch.setattr(masks, "LOOKED_AT", 2)
    (found,) = recognise(tmp_path).layouts
    assert "2 maps looked at have the values 0, 1, 2" in found.evidence


def test_a_value_apart_from_the_others_is_taken_for_void_and_sizes_are_those_of_siblings(tmp_path):
    masks_with_void(tmp_path)
    found = recognise(tmp_path).layouts[0]
    assert found.data[-2:] == ("data.classes=[class0,class1,class2]", "data.ignore_value=11")
    assert any(line.startswith("11 lies apart from 0 to 2") for line in found.oddities)
    assert "data.image_size=32" in found.commands[0].words
    masks_of_camvid(tmp_path / "other")
    (other,) = recognise(tmp_path / "other").layouts  # splits and their maps are no classes
    assert "data.ignore_value" not in "".join(other.data)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("photos/a-b_1.c", "photos/a-b_1.c"),
        (".", "."),
        ("2024", '"2024"'),
        ("null", '"null"'),
        ("my photos", '"my photos"'),
        ('a"b', '"a\\"b"'),
        ("a\\", '"a\\\\"'),
        ("[1], {2}", '"[1], {2}"'),
    ],
)
def test_words_hold_any_name(value, wanted):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert quoted(value) == wanted
    parsed = OverridesParser.create().parse_override(word("data.root", value))
    assert parsed.value() == value


@pytest.mark.parametrize("name", ["/x/${HOME}", "a\\${b}", "a$b {c}", "${"])
def test_words_hold_names_that_look_like_references(name, tmp_path):
    config = compose(["data=folder", word("data.root", name), "data.image_size=32"])
    assert config["data"]["root"] == name
    folder = RunFolder(tmp_path)
    folder.freeze(config)
    assert folder.config()["data"]["root"] == name


def test_sides_fit_their_patches():
    assert size_words([(32, 32)] * 3, 224) == ("data.image_size=32", "backbone.patch_size=4")
    assert size_words([(480, 640)], 640) == ("data.image_size=640",)
    assert size_words([(90, 120)], 640) == ("data.image_size=128", "backbone.patch_size=8")
    assert size_words([], 224) == ("data.image_size=224",)
    assert ".jpg" in SUFFIXES


@pytest.mark.parametrize("root", ["/proc", "/proc/self/fd", "/dev"])
def test_a_folder_of_the_system_is_not_looked_through(root):
    with pytest.raises(OSError, match="is the system's own"):
        listing_of(Path(root))
