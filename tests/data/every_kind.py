"""A small set of every kind of data, of the same bytes on every machine.

Pictures are written without an encoder: a fingerprint counts stored bytes, and another zlib or
Pillow would store others.
"""

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import adler32, crc32

import numpy as np

from vit.data.augment import Affine
from vit.data.augment_boxes import Flip, ScaleJitter
from vit.data.box_table import BoxTable
from vit.data.coco import Coco
from vit.data.coco_panoptic import CocoPanoptic
from vit.data.core.samples import SampleData
from vit.data.digit_captions import DigitCaptions
from vit.data.digit_scenes import DigitScenes
from vit.data.digit_scenes_semantic import DigitScenesSemantic
from vit.data.digits import Digits
from vit.data.folder import Folder
from vit.data.mask_folder import MaskFolder
from vit.data.number_words import NumberWords
from vit.data.table import Table
from vit.data.text_table import TextTable
from vit.data.torchvision_sets import TorchvisionSet
from vit.data.voc import Voc
from vit.data.wav_folder import WavFolder
from vit.data.yolo import Yolo

HEIGHT, WIDTH = 30, 40
SCENES = {"train_scenes": 12, "val_scenes": 4, "test_scenes": 3, "batch_size": 4}


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def write_ppm(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    file.write_bytes(f"P6\n{width} {height}\n255\n".encode() + pixels.tobytes())


def write_png(file: Path, pixels: np.ndarray) -> None:
    """8 bits, [height, width] grey or [height, width, 3]; one block that is not compressed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    length = len(raw).to_bytes(2, "little") + (len(raw) ^ 0xFFFF).to_bytes(2, "little")
    packed = b"\x78\x01\x01" + length + raw + adler32(raw).to_bytes(4, "big")
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header += bytes([8, 0 if pixels.ndim == 2 else 2, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
        content += len(body).to_bytes(4, "big") + name + body
        content += crc32(name + body).to_bytes(4, "big")
    file.write_bytes(content)


def pictures(folder: Path, numbers: range) -> list[str]:
    names = [f"{number:03}.ppm" for number in numbers]
    for number, name in zip(numbers, names, strict=True):
        write_ppm(folder / name, noise(number, HEIGHT, WIDTH, 3))
    return names


def folder(root: Path) -> Folder:
    for at, name in enumerate(("cat", "dog", "owl")):
        pictures(root / name, range(10 * at, 10 * at + 8))
    return Folder(root=str(root), image_size=16, batch_size=8, augment=Affine())


def table(root: Path) -> Table:
    names = pictures(root / "images", range(20))
    rows = [f"images/{name},{'a|b' if at % 3 else 'c'}" for at, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    file = str(root / "labels.csv")
    return Table(table=file, separator="|", image_size=16, batch_size=6)


def idx(root: Path) -> TorchvisionSet:
    place = root / "FashionMNIST" / "raw"
    place.mkdir(parents=True)
    for name, count in (("train", 20), ("t10k", 10)):
        for what, values in (
            ("images-idx3", noise(count, count, 28, 28)),
            ("labels-idx1", (np.arange(count) % 10).astype(np.uint8)),
        ):
            sides = b"".join(side.to_bytes(4, "big") for side in values.shape)
            header = bytes([0, 0, 8, values.ndim]) + sides
            (place / f"{name}-{what}-ubyte").write_bytes(header + values.tobytes())
    return TorchvisionSet(name="FashionMNIST", root=str(root), batch_size=5)


def sounds(root: Path) -> WavFolder:
    for at in range(12):
        file = root / ("high", "low")[at % 2] / f"{at:02}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(8000)
            stream.writeframes(noise(at, 1600).tobytes())
    more = {"sample_rate": 8000, "mels": 16, "seconds": 0.128, "batch_size": 4}
    return WavFolder(root=str(root), window_ms=16.0, hop_ms=8.0, **more)


def coco(root: Path) -> Coco:
    (root / "annotations").mkdir(parents=True)
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    for split, numbers in (("train", range(6)), ("val", range(6, 9))):
        names = pictures(root / "images", numbers)
        images = [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for number, name in zip(numbers, names, strict=True)
        ]
        notes = [
            {
                "id": 10 * number + k,
                "image_id": number,
                "category_id": 7 if k else 3,
                "bbox": [2 + 8 * k, 3, 6 + number, 5 + k],
                "iscrowd": int(k == 2),
                "segmentation": [[2 + 8 * k, 3, 8 + 8 * k, 3, 8 + 8 * k, 8 + k]],
            }
            for number in numbers
            for k in range(3)
        ]
        content = {"images": images, "annotations": notes, "categories": categories}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(content))
    files = {f"{split}_file": f"annotations/{split}.json" for split in ("train", "val")}
    places = {f"{split}_images": "images" for split in ("train", "val")}
    how = {"masks": True, "padding": True, "mosaic": 0.5, "train_sizes": (24, 32)}
    augment = ScaleJitter()
    more = {"test_file": None, "image_size": 32, "batch_size": 3, "augment_boxes": augment}
    return Coco(root=str(root), **files, **places, **how, **more)


def panoptic(root: Path) -> CocoPanoptic:
    classes = [{"id": 7, "name": "dog", "isthing": 1}, {"id": 90, "name": "sky", "isthing": 0}]
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        names = pictures(root / "images", numbers)
        images, notes = [], []
        for number, name in zip(numbers, names, strict=True):
            colours = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
            colours[:28, :, 0], colours[3:12, 2:10, 0] = 9, 30 + number
            write_png(root / "annotations" / f"panoptic_{split}" / f"{number}.png", colours)
            images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            segments = [
                {"id": 9, "category_id": 90, "bbox": [0, 0, 40, 28], "area": 1048, "iscrowd": 0},
                {"id": 30 + number, "category_id": 7, "bbox": [2, 3, 8, 9], "area": 72},
            ]
            note = {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
            notes.append(note)
        content = {"images": images, "annotations": notes, "categories": classes}
        (root / "annotations" / f"panoptic_{split}.json").write_text(json.dumps(content))
    return CocoPanoptic(root=str(root), image_size=(24, 32), batch_size=2)


def voc(root: Path) -> Voc:
    names = pictures(root / "JPEGImages", range(6))
    (root / "Annotations").mkdir()
    for at, name in enumerate(names):
        box = f"<xmin>1</xmin><ymin>1</ymin><xmax>{10 + at}</xmax><ymax>20</ymax>"
        inside = f"<object><name>dog</name><difficult>{at % 2}</difficult><bndbox>{box}</bndbox>"
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        file = root / "Annotations" / f"{Path(name).stem}.xml"
        file.write_text(f"<annotation>{size}{inside}</object></annotation>")
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("000\n001\n002\n003\n")
    (lists / "val.txt").write_text("004\n005\n")
    return Voc(root=str(root), image_size=(24, 32), batch_size=2, augment_boxes=Flip())


def box_table(root: Path) -> BoxTable:
    names = pictures(root / "images", range(9))
    rows = [
        f"{name},{WIDTH},{HEIGHT},{('cat', 'dog')[k]},{2 + 8 * k},3,{9 + at + 8 * k},{8 + k}"
        for at, name in enumerate(names)
        for k in range(2)
    ]
    heading = "filename,width,height,class,xmin,ymin,xmax,ymax"
    (root / "train.csv").write_text("\n".join([heading, *rows, f"{names[0]},,,,,,,"]) + "\n")
    more = {"image_size": 32, "batch_size": 3, "augment_boxes": Flip(), "val_fraction": 0.3}
    return BoxTable(train=str(root / "train.csv"), root=str(root / "images"), **more)


def yolo(root: Path) -> Yolo:
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        names = pictures(root / "images" / split, numbers)
        (root / "labels" / split).mkdir(parents=True)
        for name in names:
            file = root / "labels" / split / f"{Path(name).stem}.txt"
            file.write_text("0 0.5 0.5 0.5 0.2\n1 0.1 0.2 0.1 0.1\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    return Yolo(root=str(root), image_size=32, batch_size=2, fit="squash")


def masks(root: Path) -> MaskFolder:
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        pictures(root / "images" / split, numbers)
        for number in numbers:
            values = np.kron(noise(number, 6, 8) % 3, np.ones((5, 5), dtype=np.uint8))
            values[:2, :3] = 255
            write_png(root / "masks" / split / f"{number:03}.png", values)
    (root / "classes.txt").write_text("soil\nleaf\nrot\n")
    return MaskFolder(root=str(root), image_size=32, batch_size=3, augment_maps=ScaleJitter())


def text_table(root: Path, target: str) -> TextTable:
    root.mkdir()
    words = ["the", "cat", "sat", "on", "a", "mat", "while", "one", "dog", "ran"]
    rows = [f"{' '.join(words[at % 4 : at % 4 + 4])} {at}\t{words[at % 3]}" for at in range(40)]
    (root / "rows.tsv").write_text("\n".join(rows) + "\n")
    file = str(root / "rows.tsv")
    return TextTable(train=file, target=target, vocabulary=300, batch_size=8, max_tokens=12)


EVERY: dict[str, Callable[[Path], SampleData[Any]]] = {
    "digits": lambda root: Digits(augment=Affine(), batch_size=16),
    "folder": folder,
    "table": table,
    "torchvision": idx,
    "wav_folder": sounds,
    "coco": coco,
    "coco_panoptic": panoptic,
    "voc": voc,
    "yolo": yolo,
    "box_table": box_table,
    "digit_scenes": lambda root: DigitScenes(augment_boxes=ScaleJitter(), **SCENES),
    "mask_folder": masks,
    "digit_scenes_semantic": lambda root: DigitScenesSemantic(augment_maps=Flip(), **SCENES),
    "digit_captions": lambda root: DigitCaptions(**SCENES),
    "number_words": lambda root: NumberWords(samples=300, test_samples=20, batch_size=8),
    "text_classes": lambda root: text_table(root, "class"),
    "text_pairs": lambda root: text_table(root, "text"),
}
