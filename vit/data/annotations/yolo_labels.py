"""YOLO's text files of labels: where the one of an image lies, and what its lines say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vit.data.annotations.raw import Bad, ImageRecord, size_or_none
from vit.data.formats.plain_text import read_text
from vit.faults import shorten

CORNERS_OF_OBB = 4
MANY_POINTS = 5
POLYGONS = range(7, 1 << 20, 2)  # numbers of a line: the class, and x and y of three corners on
NO_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt")  # what tools write beside them
MOST_CLASSES = 1e9  # a number beyond that is no class, and would be long to read
MOST_OUTSIDE = 2  # what is farther off than so many images is no fraction


class LabelFiles:
    """The file of labels of each image, its ending in any case; a folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}  # of labels: name without ending → name
        self._places: dict[Path, Path] = {}  # folder of images → of their labels
        self._used: set[Path] = set()

    def of(self, image: Path) -> Path | None:
        """.../labels/NAME.txt for .../images/NAME.jpg; beside an image in no such folder."""
        folder = self._places.get(image.parent)
        if folder is None:
            folder = self._places.setdefault(image.parent, _labels_folder(image.parent))
            self._folders.setdefault(folder, _texts(folder))
        name = self._folders[folder].get(image.stem)
        if name is None:
            return None
        self._used.add(folder / name)
        return folder / name

    def unused(self) -> list[str]:
        """A line for each folder with labels that belong to none of the images asked for."""
        lines = []
        for folder, names in sorted(self._folders.items()):
            left = [name for name in names.values() if folder / name not in self._used]
            left = sorted(name for name in left if name.lower() not in NO_LABELS)
            if left:
                lines.append(
                    f"{folder}: {len(left):,} files of labels have no image in any split, and are "
                    f"left out: {shorten(left)}."
                )
        return lines


def _labels_folder(images: Path) -> Path:
    """Where the labels of a folder of images are, with capitals as that has them."""
    parts = list(images.parts)
    for at in range(len(parts) - 1, -1, -1):
        if parts[at].lower() == "images":
            forms = ("labels", "Labels", "LABELS")
            near = [Path(*parts[:at], form, *parts[at + 1 :]) for form in forms]
            return next((place for place in near if place.is_dir()), near[0])
    return images


def _texts(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower().endswith(".txt"))
    return {name[:-4]: name for name in names if not name.startswith(".")}


def read_labels(
    image: Path, file: Path | None, root: Path, keypoints: int, lines: Counter[int], bad: Bad
) -> ImageRecord:
    """The objects of an image; lines that cannot be read go into `bad`.

    `keypoints` are the numbers behind a box; `lines` counts lines by how many numbers they have.
    """
    found = ImageRecord(under(root, image), size_or_none(image))
    if file is None or not min(found.size):
        return found
    try:
        text = read_text(file)
    except ValueError as fault:
        bad.add("labels that cannot be read", str(fault).rstrip("."))
        return found
    height, width = found.size
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name = f"{under(root, file)}:{number}"
        values = _values(line)
        count = 0 if values is None else len(values)
        fits = count in (5, 5 + keypoints) if keypoints else count == 5 or count in POLYGONS
        if values is not None and not keypoints and _looks_like_keypoints(values):
            bad.add(
                "this looks like a box with keypoints, each with 0, 1 or 2 for how it is seen; "
                "data.yaml then needs kpt_shape, as [17, 3]",
                name,
            )
            continue
        if values is None or not fits:
            wanted = "with three or more corners"
            if keypoints:
                wanted = f"with {keypoints} numbers of keypoints behind the box (kpt_shape)"
            bad.add(
                f"wanted a class with centre x, y, width and height, or {wanted}",
                f"{name} {line.strip()[:40]!r}",
            )
            continue
        lines[count] += 1
        values = values[:5] if keypoints else values
        if max(abs(value) for value in values[1:]) > MOST_OUTSIDE:
            bad.add("this looks like pixels; wanted fractions of the image", name)
            continue
        whole = values[0].is_integer() and abs(values[0]) < MOST_CLASSES
        label = int(values[0]) if whole else values[0]
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


def _looks_like_keypoints(values: Sequence[float]) -> bool:
    """Box and points of x, y and 0, 1 or 2, which 2 at least is no place within an image.

    Corners on an image's border are 0 or 1 too, so of these alone there must be many.
    """
    seen = values[7::3]
    if not seen or len(values[5:]) % 3 or not set(seen) <= {0.0, 1.0, 2.0}:
        return False
    return 2.0 in seen or len(seen) >= MANY_POINTS


def meanings(lines: Counter[int], keypoints: int) -> list[str]:
    """What lines were taken for, where another meaning is as likely."""
    if keypoints:
        return [
            "kpt_shape says that boxes have keypoints; the boxes are read, the points left out."
        ]
    polygons = {count: times for count, times in lines.items() if count > 5}
    warnings = []
    if polygons and set(polygons) == {1 + 2 * CORNERS_OF_OBB}:
        warnings.append(
            "all outlines have four corners, as turned boxes (OBB) have; upright boxes around them "
            "are learnt."
        )
    if polygons and lines[5]:
        total = sum(polygons.values())
        warnings.append(
            f"{lines[5]:,} lines are boxes and {total:,} outlines; both are read as such."
        )
    return warnings


def under(root: Path, path: Path) -> str:
    """From the folder on, where it lies there: a fingerprint must not know where the data lie."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _values(line: str) -> list[float] | None:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None
