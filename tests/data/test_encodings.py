"""Text of data in whatever encoding: read, or refused with the file and the row."""

import codecs
import gzip
import json
import os

import pytest
from PIL import Image

from vit.data.folder import Folder
from vit.data.formats.plain_text import decoded, lines_of, parsed_json, read_text
from vit.data.mask_folder import MaskFolder
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.data.voc import Voc
from vit.data.yolo import Yolo

XML = (
    '{front}<?xml version="1.0" encoding="{encoding}"?><annotation{space}><size><width>40</width>'
    "<height>30</height></size><object><name>{name}</name><bndbox><xmin>5</xmin><ymin>5</ymin>"
    "<xmax>20</xmax><ymax>20</ymax></bndbox></object></annotation>"
)


def said(data):
    return "\n".join(str(fault) for fault in data.faults())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_marks_of_byte_order_are_no_part_of_names(tmp_path, encoding):
    (tmp_path / "classes.txt").write_bytes("apfel\r\nbär\r\n".encode(encoding))
    assert lines_of(tmp_path / "classes.txt") == ["apfel", "bär"]


def test_an_error_says_the_file_the_row_and_the_way_out(tmp_path):
    (tmp_path / "x.txt").write_bytes("ab\ncd\ncafé\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"x.txt, row 3: byte 0xe9 is no UTF-8; .* iconv -f"):
        read_text(tmp_path / "x.txt")
    with pytest.raises(ValueError, match=r"row 1: byte .* is no UTF-16"):
        decoded(codecs.BOM_UTF16_LE + b"a\0b", "x")


def test_names_of_yolo_in_another_encoding_are_refused_with_the_file(tmp_path, write_images):
    write_images(tmp_path / "images", 2)
    (tmp_path / "data.yaml").write_bytes("train: images\nnames: ['café']\n".encode("cp1252"))
    assert "data.yaml, row 2: byte 0xe9 is no UTF-8" in said(Yolo(root=str(tmp_path)))
    (tmp_path / "data.yaml").write_bytes("train: images\nnames: ['café']\n".encode("utf-16"))
    assert Yolo(root=str(tmp_path)).contents.class_names == ("café",)


def test_a_class_folder_that_is_no_utf8_is_refused_by_its_name(photos):
    (photos / "cat").rename(photos / os.fsdecode(b"caf\xe9"))
    message = said(Folder(root=str(photos), image_size=32))
    assert f"{photos}: the name of the class 'caf\\udce9' is no UTF-8" in message
    assert message.encode()


def test_classes_of_masks_have_no_mark_and_name_their_row(mask_files):
    mask_files.write()
    (mask_files.root / "bom.txt").write_bytes(b"\xef\xbb\xbfsoil\r\nleaf\r\nrot\r\n")
    root = str(mask_files.root)
    names = MaskFolder(root=root, classes_file="bom.txt", image_size=32).contents.class_names
    assert names == ("soil", "leaf", "rot")
    (mask_files.root / "classes.txt").write_bytes("fond\nlésion\n".encode("cp1252"))
    assert "classes.txt, row 2: byte 0xe9" in said(MaskFolder(root=root, image_size=32))


def test_half_a_character_names_the_row_of_json_lines(tmp_path):
    rows = ['{"text": "word", "label": "a"}', '{"text": "\\ud800 word", "label": "b"}']
    (tmp_path / "s.jsonl").write_text("\n".join(rows))
    words = {"input_column": "text", "target_column": "label"}
    message = said(TextTable(train=str(tmp_path / "s.jsonl"), **words))
    assert "s.jsonl, row 2: '\\ud800 word' has half a character" in message
    assert message.encode()


def test_a_table_of_utf16_is_read_and_another_encoding_named(photos):
    file = photos / "t.csv"
    text = "path,label\ncat/001.png,ä\ndog/001.png,b\n"
    file.write_bytes(text.encode("utf-16"))
    assert Table(table=str(file)).contents.class_names == ("b", "ä")
    file.write_bytes(text.encode("cp1252"))
    assert "t.csv, row 2: byte 0xe4 is no UTF-8" in said(Table(table=str(file)))


@pytest.fixture
def voc(tmp_path, write_images):
    def write(numbers=range(4), suffix=".xml", **words):
        write_images(tmp_path / "JPEGImages", 4, size=(40, 30))
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        for number in numbers:
            given = {"front": "", "encoding": "utf-8", "space": "", "name": "cat"} | words
            content = XML.format(**given).encode(given["encoding"])
            (tmp_path / "Annotations" / f"{number:03}{suffix}").write_bytes(content)
        return Voc(root=str(tmp_path), image_size=(30, 40), val_fraction=0.25)

    return write


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("GBK", "猫"), ("big5", "貓"), ("shift_jis", "ねこ"), ("latin-1", "café"), ("utf-16", "ねこ")],
)
def test_voc_is_read_in_the_encoding_that_it_declares(voc, encoding, name):
    data = voc(encoding=encoding, name=name)
    assert said(data) == ""
    assert data.contents.class_names == (name,)


def test_voc_of_blank_lines_and_namespaces_is_read(voc):
    for words in ({"front": "\n"}, {"space": " xmlns='http://x'"}):
        data = voc(**words)
        assert said(data) == ""
        assert len(data.contents.sources["train"].annotations.labels) == 4


def test_voc_names_files_in_another_encoding_than_they_declare(voc, tmp_path):
    data = voc()
    text = XML.format(front="", encoding="utf-8", space="", name="café").encode("latin-1")
    (tmp_path / "Annotations" / "000.xml").write_bytes(text)
    (tmp_path / "Annotations" / "001.xml").write_bytes(text.replace(b"utf-8", b"klingon"))
    message = said(data)
    assert "XML that declares no other encoding than UTF-8: 000.xml (byte 0xe9" in message
    assert "XML in an unknown encoding: 001.xml (klingon) (1 in all)" in message


def test_faults_that_were_collected_are_not_hidden_by_a_general_one(voc, tmp_path):
    data = voc()
    for number in range(4):
        (tmp_path / "Annotations" / f"{number:03}.xml").write_text("no XML at all")
    assert "no XML: 000.xml (" in said(data)
    assert "(4 in all)" in said(data)
    assert "has a name" not in said(data)


def test_endings_in_capitals_are_read_and_what_is_left_is_counted(voc, tmp_path):
    voc(numbers=(0, 1), suffix=".XML")
    data = voc(numbers=(2,))
    for number in (0, 1):
        (tmp_path / "JPEGImages" / f"{number:03}.png").rename(
            tmp_path / "JPEGImages" / f"{number:03}.PNG"
        )
    assert said(data) == ""
    assert sum(data.lengths.values()) == 3
    assert any("1 images have no file of annotations" in line for line in data.warnings())
    (tmp_path / "Annotations" / "000.xml").write_text("<annotation/>")
    assert "differ by their endings alone: 000.XML and 000.xml" in said(voc(numbers=(2,)))


def test_categories_of_coco_with_text_for_ids_say_so(coco_files):
    from vit.data.coco import Coco

    for content in coco_files.content.values():
        for one in content["categories"]:
            one["id"] = str(one["id"])
    message = said(Coco(root=coco_files.write(), image_size=32))
    assert "categories[0] has no whole `id`" in message
    assert "'7'" in message
    assert "lists no categories" not in message


def test_a_bomb_damage_and_depth_are_reported(tmp_path):
    bomb = tmp_path / "bomb.tsv.gz"
    bomb.write_bytes(gzip.compress(b"a\tb\n" * 17_000_000))
    with pytest.raises(ValueError, match=r"bomb.tsv.gz unpacks to more than 200 times its size"):
        read_text(bomb)
    whole = gzip.compress(json.dumps(list(range(1000))).encode())
    for content in (whole[:50], whole[:30] + b"\xff" * 40 + whole[70:], b"", b"no gzip"):
        (tmp_path / "a.tsv.gz").write_bytes(content)
        if content:
            with pytest.raises(ValueError, match=r"a.tsv.gz cannot be unpacked"):
                read_text(tmp_path / "a.tsv.gz")
    with pytest.raises(ValueError, match="x is nested too deeply"):
        parsed_json("[" * 100_000, "x")


def test_what_is_no_file_is_reported_and_nothing_waits(tmp_path, photos):
    os.mkfifo(tmp_path / "pipe.tsv")
    with pytest.raises(ValueError, match="is no regular file, but a pipe or a device"):
        read_text(tmp_path / "pipe.tsv")
    with pytest.raises(ValueError, match="Is a directory"):
        read_text(tmp_path)
    os.mkfifo(photos / "cat" / "pipe.png")
    (photos / "cat" / "loop.png").symlink_to("loop.png")
    data = Folder(root=str(photos), image_size=32)
    assert "loop.png: Too many levels of symbolic links" in said(data)
    assert any("1 pipes and devices" in line for line in data.warnings())
    (photos / "dog" / "loop").symlink_to(photos)  # a walk that would never end
    data = Folder(root=str(photos), image_size=32)
    assert len(data.contents.sources["train"]) == 31
    assert any("1 links in a circle" in line for line in data.warnings())
    (photos / "t.csv").write_text("path,label\ncat/pipe.png,a\ncat/000.png,b\n")
    assert "is no regular file" in said(Table(table=str(photos / "t.csv"), image_size=32))


def test_a_folder_of_the_system_is_refused_in_words(photos, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    for root in ("/proc", "/proc/self/fd"):
        assert "is the system's own; wanted a folder of data" in said(Folder(root=root))
    monkeypatch.setattr(os, "scandir", denied)
    assert said(Folder(root=str(photos))).endswith("Permission denied.")


def test_pictures_of_a_pipe_do_not_wait(tmp_path):
    from vit.data.core.images import BadImage, image_size, open_image

    os.mkfifo(tmp_path / "x.png")
    for look in (image_size, lambda file: open_image(file, 3)):
        with pytest.raises(BadImage, match="is no regular file"):
            look(tmp_path / "x.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "y.png")
    assert image_size(tmp_path / "y.png") == (2, 3)
