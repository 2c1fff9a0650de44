"""Boxes, or polygons, as YOLO's tools write them: a data.yaml, and a .txt beside each image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.annotations import DetectionContents
from vit.data.detection import DetectionData
from vit.data.folder import existing_folder
from vit.data.images import SUFFIXES
from vit.data.published import Bad, Found, contents_of, published, size_or_none
from vit.faults import Fault

KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


@dataclass(kw_only=True, eq=False)
class Yolo(DetectionData):
    """Images in .../images/..., and for each a file of the same name in .../labels/...

    A line is an object: class number, centre x and y, width and height, as fractions of the image;
    or class number and the x and y of a polygon's corners. An image without a file, or with an
    empty one, has no object. Reads the header of every image, since fractions say no pixels.

    Args:
        root: the folder of the file below; `~` is understood.
        file: names the folders (or lists of files) of the splits, and the classes.
    """

    root: str
    file: str = "data.yaml"

    def read(self) -> DetectionContents:
        import yaml

        root = existing_folder(self.root, "data.root")
        file = root / self.file
        if not file.is_file():
            near = ", ".join(sorted(path.name for path in root.glob("*.y*ml"))) or "no .yaml"
            raise ValueError(f"data.file={self.file}: there is no {file}; {root} holds {near}.")
        try:
            told = yaml.safe_load(file.read_text())
        except yaml.YAMLError as fault:
            raise ValueError(f"{file} is no YAML: {fault}") from None
        if not isinstance(told, dict):
            raise ValueError(f"{file} holds no keys; wanted train, val and names.")
        names = _names(file, told)
        faults: list[Fault] = []
        splits = {}
        class_of = {number: number for number in range(len(names))}
        for split, keys in KEYS.items():
            value = next((told[key] for key in keys if told.get(key)), None)
            if value is None and split == "train":
                raise ValueError(f"{file} has no `train`; wanted the folder of its images.")
            if value is None:
                continue
            images = _images(file, told.get("path"), value, split)
            bad, origin = Bad(), f"{file}, {split}"
            found = [_read_labels(path, root, bad) for path in images]
            faults += bad.faults(origin)
            splits[split] = published(origin, root, found, class_of)
        return contents_of(splits, names, tuple(range(len(names))), self.masks, faults)


def _names(file: Path, told: dict[str, Any]) -> tuple[str, ...]:
    names = told.get("names")
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f"{file}: names={names!r}; wanted a list, or 0, 1, 2, … with a name each.")
    if "nc" in told and told["nc"] != len(names):
        raise ValueError(f"{file}: nc={told['nc']}, but there are {len(names)} names.")
    return tuple(map(str, names))


def _images(file: Path, base: Any, value: Any, split: str) -> list[Path]:
    """The images of a split: of a folder and those within, of a list of files, or of several."""
    found: list[Path] = []
    for part in value if isinstance(value, list) else [value]:
        place = _place(file, base, str(part), split)
        if place.is_dir():
            found += sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
        else:
            lines = (line.strip() for line in place.read_text().splitlines())
            found += [place.parent / line for line in lines if line]
    return found


def _place(file: Path, base: Any, part: str, split: str) -> Path:
    """Where a data.yaml's folder is: tools take it from different places, so all are tried."""
    here = file.parent
    starts = [here] if base is None else [here / str(base), here]
    # Roboflow writes ../train/images for what lies beside the file.
    tried = [start / name for start in starts for name in (part, part.removeprefix("../"))]
    for place in tried:
        if place.exists():
            return place
    raise ValueError(f"{file}: {split} is {part!r}, but there is no {tried[0]}.")


def _labels_file(image: Path) -> Path:
    """.../labels/NAME.txt for .../images/NAME.jpg; beside an image in no such folder."""
    parts = list(image.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read_labels(image: Path, root: Path, bad: Bad) -> Found:
    """The objects of an image; lines that cannot be read go into `bad`."""
    found = Found(_under(root, image), size_or_none(image))
    file = _labels_file(image)
    if not file.is_file() or not min(found.size):
        return found
    height, width = found.size
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        name = f"{_under(root, file)}:{number}"
        values = _values(line)
        if values is None or not (len(values) == 5 or (len(values) >= 7 and len(values) % 2)):
            bad.add(
                "wanted a class with centre x, y, width and height, or with three or more corners",
                f"{name} {line.strip()[:40]!r}",
            )
            continue
        if max(abs(value) for value in values[1:]) > 2:
            bad.add("this looks like pixels; wanted fractions of the image", name)
            continue
        label = int(values[0]) if values[0] == int(values[0]) else values[0]
        place = np.array(values[1:]).reshape(-1, 2) * [width, height]
        if len(values) == 5:
            (left, top), (wide, tall) = place[0] - place[1] / 2, place[1]
            corners = [left, top, left + wide, top, left + wide, top + tall, left, top + tall]
        else:
            (left, top), (wide, tall) = place.min(axis=0), np.ptp(place, axis=0)
            corners = place.ravel().tolist()
        outline = [[float(value) for value in corners]] if len(values) > 5 else None
        found.add(name, label, (left, top, wide, tall), outline=outline)
    return found


def _under(root: Path, path: Path) -> str:
    """From the folder on, where it lies there: a fingerprint must not know where the data lie."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _values(line: str) -> list[float] | None:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None
