"""What made layouts are of: small pictures, maps, sounds and files of marks."""

import json
import wave

import numpy as np
from PIL import Image

WIDE, HIGH = 40, 32
CLASSES = ("cat", "dog", "owl")
COCO_CLASSES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


def text(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def pixels(key, *shape):
    return np.random.default_rng([*key.encode()]).integers(0, 256, shape, dtype=np.uint8)


def pictures(folder, count=6, ending=".jpg", front="", start=0):
    """Their names; no two pictures of one set are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{front}{number:03}{ending}" for number in range(start, start + count)]
    for name in names:
        Image.fromarray(pixels(f"{folder}/{name}", HIGH, WIDE, 3)).save(folder / name)
    return names


def classes(folder, names=CLASSES, count=6, **more):
    for name in names:
        pictures(folder / name, count, **more)


def maps(folder, names, values=(0, 1, 2), behind="", ending=".png"):
    """A map for each picture, with all of the values."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        chosen = np.array(values, dtype=np.uint8)[pixels(name, 4, 5) % len(values)]
        chosen[0, : len(values)] = values
        grown = np.kron(chosen, np.ones((8, 8), dtype=np.uint8))
        Image.fromarray(grown).save(folder / f"{name.rpartition('.')[0]}{behind}{ending}")


def sounds(folder, names):
    for name in names:
        file = folder / f"{name}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as stream:
            stream.setnchannels(1)
            stream.setsampwidth(2)
            stream.setframerate(16000)
            stream.writeframes(pixels(name, 8000).tobytes())


def coco(file, names, outlines=False, number=0):
    """An annotation file of two boxes a picture."""
    images = [
        {"id": at, "file_name": name, "width": WIDE, "height": HIGH}
        for at, name in enumerate(names)
    ]
    corners = [2, 3, 20, 3, 20, 20]
    marks = [
        {
            "id": 2 * at + k,
            "image_id": at,
            "category_id": (3, 7)[k],
            "bbox": [2 + k, 3, 12, 10 + number],
            "area": 100,
            "iscrowd": 0,
            **({"segmentation": [corners]} if outlines else {}),
        }
        for at in range(len(names))
        for k in range(2)
    ]
    text(file, json.dumps({"images": images, "annotations": marks, "categories": COCO_CLASSES}))


def panoptic(file, names):
    """A file of segments, and beside it the folder of its maps."""
    home = file.with_suffix("")
    home.mkdir(parents=True)
    images, marks = [], []
    for at, name in enumerate(names):
        colours = np.zeros((HIGH, WIDE, 3), dtype=np.uint8)
        colours[:28, :, 0], colours[3:12, 2:10, 0] = 9, 30
        Image.fromarray(colours).save(home / f"{at}.png")
        images.append({"id": at, "file_name": name, "width": WIDE, "height": HIGH})
        segments = [{"id": 9, "category_id": 3, "bbox": [0, 0, 40, 28], "area": 1048, "iscrowd": 0}]
        segments.append({"id": 30, "category_id": 7, "bbox": [2, 3, 8, 9], "area": 72})
        marks.append({"image_id": at, "file_name": f"{at}.png", "segments_info": segments})
    categories = [{**one, "isthing": one["id"] == 7} for one in COCO_CLASSES]
    text(file, json.dumps({"images": images, "annotations": marks, "categories": categories}))


def voc(folder, names):
    for at, name in enumerate(names):
        box = f"<xmin>1</xmin><ymin>2</ymin><xmax>{10 + at}</xmax><ymax>20</ymax>"
        thing = f"<object><name>{CLASSES[at % 2]}</name><bndbox>{box}</bndbox></object>"
        size = f"<size><width>{WIDE}</width><height>{HIGH}</height><depth>3</depth></size>"
        file = folder / f"{name.rpartition('.')[0]}.xml"
        text(file, f"<annotation><filename>{name}</filename>{size}{thing}</annotation>")


def yolo(folder, names):
    for name in names:
        lines = "0 0.5 0.5 0.5 0.25\n1 0.25 0.25 0.125 0.125\n"
        text(folder / f"{name.rpartition('.')[0]}.txt", lines)
