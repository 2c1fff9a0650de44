"""Small sound data of every kind, and seeded ways to break their files."""

import json
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ODD = [
    None, True, False, -1, 0, 1, 2, 0.5, 1e308, -1e308, 10**30, -(10**30), float("nan"),
    float("inf"), "", " ", "1", "01", "a", "\ud800", "\0", "../../etc", "é" * 50, "x" * 5000, [],
    {}, [[]], [None], {"a": {"b": []}}, [1, 2, 3], ["1", "2", "3", "4"], [0, 0, 1e308, 1e308],
    [[0, 0, 1, 1]], [[1e9] * 6], {"counts": [1], "size": [30, 40]}, {"counts": "~" * 200},
    {"counts": "1", "size": [30, 40]}, {"counts": [10**30], "size": [10**9, 10**9]},
]  # fmt: skip
WORDS = [
    b"\xff", b"\xe9", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\t", b"\n", b"\r", b",", b'"', b"'",
    b"|", b"[", b"]", b"{", b"}", b"<", b">", b"&", b":", b"- ", b"&a ", b"*a", b"!!python/name:os",
    b"-1", b"9" * 400, b"1e308", b"nan", b"inf", b"null", b"~", b"\\ud800", b"encoding='utf-16'",
    b"<!DOCTYPE a [<!ENTITY b 'b'>]>", b"&b;", b"\x1f\x8b\x08", b"../", b"/dev/zero", b"[" * 3000,
    "\u2028".encode(), "\u0663".encode(),
]  # fmt: skip


def mutated_bytes(content: bytes, draw: np.random.Generator) -> bytes:
    """Cut, filled with noise, a word put in, a part doubled or lost."""
    found = bytearray(content)
    for _ in range(int(draw.integers(1, 4))):
        at = int(draw.integers(0, len(found) + 1))
        end = min(at + int(draw.integers(1, 40)), len(found))
        way = draw.integers(0, 6)
        if way == 0:
            del found[at:]
        elif way == 1:
            del found[at:end]
        elif way == 2:
            found[at:end] = draw.integers(0, 256, end - at, dtype=np.uint8).tobytes()
        elif way == 3:
            found[at:at] = found[at:end] * int(draw.integers(1, 5))
        else:
            found[at:at] = WORDS[draw.integers(len(WORDS))]
    return bytes(found)


def mutated_json(content: bytes, draw: np.random.Generator) -> bytes:
    """A value, a key or an entry of a list replaced, lost or doubled."""
    whole = json.loads(content)
    places = list(_places(whole))
    for _ in range(int(draw.integers(1, 3))):
        holder, key = places[draw.integers(len(places))]
        odd = ODD[draw.integers(len(ODD))]
        try:
            if draw.random() < 0.2:
                del holder[key]
            elif isinstance(holder, list) and draw.random() < 0.3:
                holder.append(holder[key])
            else:
                holder[key] = odd
        except (KeyError, IndexError):
            pass  # lost by the mutation before
    return json.dumps(whole).encode()


def _places(value: Any):
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inside in list(pairs):
        yield value, key
        if isinstance(inside, dict | list):
            yield from _places(inside)


def mutated_rows(content: bytes, draw: np.random.Generator) -> bytes:
    """A field replaced by something odd."""
    rows = content.split(b"\n")
    at = int(draw.integers(len(rows)))
    fields = rows[at].replace(b"\t", b" \t ").replace(b",", b" , ").split(b" ")
    fields[draw.integers(len(fields))] = WORDS[draw.integers(len(WORDS))]
    rows[at] = b" ".join(fields)
    return b"\n".join(rows)


@dataclass
class Kind:
    """A file to break, the data that read it, and how to break it."""

    name: str
    file: Path
    data: Callable[[], Any]
    mutate: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (mutated_bytes,)


def kinds(root: Path) -> list[Kind]:
    """Sound data of all kinds in new folders of `root`."""
    from coco_files import CocoFiles
    from mask_files import MaskFiles
    from panoptic_files import PanopticFolder

    from vit.data.coco import Coco
    from vit.data.coco_panoptic import CocoPanoptic
    from vit.data.mask_folder import MaskFolder
    from vit.data.table import Table
    from vit.data.text_table import TextTable
    from vit.data.voc import Voc
    from vit.data.wav_folder import WavFolder
    from vit.data.yolo import Yolo

    coco, masks, panoptic = root / "coco", root / "masks", root / "panoptic"
    files = CocoFiles(coco)
    for content in files.content.values():
        for one in content["annotations"]:
            x, y, w, h = one["bbox"]
            one["segmentation"] = [[x, y, x + w, y, x + w, y + h]]
    files.annotations[0]["segmentation"] = {"counts": [600, 30, 570], "size": [30, 40]}
    files.write()
    MaskFiles(masks).write()
    _ = PanopticFolder(panoptic).data().contents
    size = {"image_size": 32}
    json_ways, row_ways = (mutated_bytes, mutated_json), (mutated_bytes, mutated_rows)
    words = {"input_column": "text", "target_column": "label"}
    voc, yolo, table = root / "voc", root / "yolo", root / "table"
    text, sound = root / "text", root / "sound"
    _write_voc_and_yolo(voc, yolo)
    _write_tables(table, text)
    _write_sounds(sound)
    return [
        Kind("coco", coco / "annotations/train.json",
             lambda: Coco(root=str(coco), masks=True, **size), json_ways),
        Kind("panoptic", panoptic / "annotations/panoptic_train.json",
             lambda: CocoPanoptic(root=str(panoptic), **size), json_ways),
        Kind("panoptic map", panoptic / "annotations/panoptic_train/1.png",
             lambda: CocoPanoptic(root=str(panoptic), **size)),
        Kind("voc", voc / "Annotations/0.xml", lambda: Voc(root=str(voc), **size), row_ways),
        Kind("voc list", voc / "ImageSets/Main/train.txt",
             lambda: Voc(root=str(voc), **size), row_ways),
        Kind("yolo labels", yolo / "labels/0.txt", lambda: Yolo(root=str(yolo), **size), row_ways),
        Kind("yolo yaml", yolo / "data.yaml", lambda: Yolo(root=str(yolo), **size), row_ways),
        Kind("yolo list", yolo / "train.txt", lambda: Yolo(root=str(yolo), **size), row_ways),
        Kind("classes", masks / "classes.txt",
             lambda: MaskFolder(root=str(masks), **size), row_ways),
        Kind("mask", masks / "masks/train/1.png", lambda: MaskFolder(root=str(masks), **size)),
        Kind("image", table / "0.png", lambda: Table(table=str(table / "t.csv"), **size)),
        Kind("csv", table / "t.csv", lambda: Table(table=str(table / "t.csv"), **size), row_ways),
        Kind("tsv", text / "t.tsv", lambda: TextTable(train=str(text / "t.tsv")), row_ways),
        Kind("tsv.gz", text / "t.tsv.gz", lambda: TextTable(train=str(text / "t.tsv.gz"))),
        Kind("jsonl", text / "t.jsonl",
             lambda: TextTable(train=str(text / "t.jsonl"), **words), row_ways),
        Kind("wav", sound / "a/0.wav", lambda: WavFolder(root=str(sound), val_fraction=0.3)),
    ]  # fmt: skip


def _write_voc_and_yolo(voc: Path, yolo: Path) -> None:
    for place in (voc / "JPEGImages", yolo / "images"):
        place.mkdir(parents=True)
        for at in range(4):
            Image.new("RGB", (40, 30), (at, 2 * at, 9)).save(place / f"{at}.jpg")
    for folder in ("Annotations", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True)
    (yolo / "labels").mkdir()
    for at in range(4):
        box = "<xmin>1</xmin>\n<ymin>1</ymin>\n<xmax>5</xmax>\n<ymax>9</ymax>"
        text = (
            '<?xml version="1.0" encoding="utf-8"?>\n<annotation>\n<size><width>40</width>\n'
            "<height>30</height></size>\n<object>\n<name>cat</name>\n<difficult>0</difficult>\n"
            f"<bndbox>\n{box}\n</bndbox>\n</object>\n</annotation>\n"
        )
        (voc / "Annotations" / f"{at}.xml").write_text(text)
        labels = "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.5 0.1 0.5 0.4\n"
        (yolo / "labels" / f"{at}.txt").write_text(labels)
    for split, numbers in (("train", "0\n1 -1\n2\n"), ("val", "3\n")):
        (voc / "ImageSets/Main" / f"{split}.txt").write_text(numbers)
    (yolo / "train.txt").write_text("images/0.jpg\nimages/1.jpg\n")
    (yolo / "data.yaml").write_text(
        "path: .\ntrain: [train.txt]\nval: val.txt\nnc: 2\nnames:\n  0: cat\n  1: dog\n"
    )
    (yolo / "val.txt").write_text("images/3.jpg\n")


def _write_tables(table: Path, text: Path) -> None:
    import gzip

    table.mkdir()
    text.mkdir()
    rows = []
    for at in range(8):
        Image.new("RGB", (9, 8), (at, 2 * at, 9)).save(table / f"{at}.png")
        rows.append((f"{at}.png", "ab"[at % 2]))
    (table / "t.csv").write_text("\n".join(["path,label", *(",".join(row) for row in rows)]))
    lines = "".join(f"some words {name}\t{label}\n" for name, label in rows)
    (text / "t.tsv").write_text(lines)
    (text / "t.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    made = [json.dumps({"text": f"some words {name}", "label": label}) for name, label in rows]
    (text / "t.jsonl").write_text("\n".join(made))


def _write_sounds(root: Path) -> None:
    draw = np.random.default_rng(0)
    for name in "ab":
        for take in range(3):
            (root / name).mkdir(parents=True, exist_ok=True)
            with wave.open(str(root / name / f"{take}.wav"), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(16_000)
                sound.writeframes(draw.integers(-9000, 9000, 1600).astype("<i2").tobytes())
