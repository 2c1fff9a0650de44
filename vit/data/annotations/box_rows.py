"""A row for each box, as tables have them: which columns are what, and which image is meant."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vit.data.annotations.raw import Bad, ImageRecord, is_size, size_or_none
from vit.data.core.file_names import name_fault
from vit.data.core.split_names import split_of
from vit.data.formats.cells import as_text
from vit.faults import did_you_mean

# What published tables call their columns, in small letters; the first that is there is taken.
IMAGES = ("filename", "imageid", "image_id", "image", "image_path", "path", "file", "file_name")
CLASSES = ("class", "labelname", "label", "class_name", "category", "name")
CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("x_min", "y_min", "x_max", "y_max"),
)
GROUPS = ("isgroupof", "iscrowd")
FRACTIONS = 1.5  # what the far corners of boxes in fractions stay below, as one wholly beyond does
YES = ("1", "true", "yes")


def column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column that is called as one of `usual`, whatever its capitals."""
    by_letters = {name.lower(): name for name in reversed(columns)}
    return next((by_letters[name] for name in usual if name in by_letters), None)


def corner_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Those of left, top, right, bottom; () where there are none."""
    for usual in CORNERS:
        found = tuple(column(columns, (name,)) for name in usual)
        if all(found):
            return tuple(str(name) for name in found)
    return ()


def numbers(cells: Sequence[Any]) -> np.ndarray:
    """[rows], NaN for what is no number; gaps are NaN too."""
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        try:
            found[row] = float(as_text(cell) or "nan")
        except ValueError:
            continue
    return found


def are_fractions(corners: np.ndarray) -> bool:
    """Whether boxes, [boxes, 4] left, top, right, bottom, are of an image's sides, not pixels.

    By the middle of their far corners: no set of boxes has half of them within the first pixel.
    """
    far = corners[:, 2:].max(axis=1, initial=0)
    far = far[np.isfinite(far)]
    return len(far) > 0 and float(np.median(far)) < FRACTIONS


class ImageNames:
    """The files of a folder, by what tables call them: paths, names, either without an ending."""

    def __init__(self, files: Sequence[bytes]):
        self.files = [os.fsdecode(name) for name in files]
        self._known: dict[str, list[str]] = {}
        for path in map(PurePosixPath, self.files):
            for name in {str(path), str(path.with_suffix("")), path.name, path.stem}:
                self._known.setdefault(name, []).append(str(path))

    def of(self, name: str, place: str, bad: Bad) -> str:
        """The file that is meant; `name` itself where there is none, and a fault in `bad`."""
        if Path(name).is_absolute():
            return name
        path = str(PurePosixPath(name.replace("\\", "/")))
        found = self._known.get(path, [])
        if len(found) == 1 or path in found:
            return path if path in found else found[0]
        if found:
            others = " and ".join(found[:2])
            bad.add("images of which several files have the name", f"{place} ({name}: {others})")
        else:
            bad.add("images that are not there", f"{place} ({name})")
        return path


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called; `size` are width and height, () where none are."""

    image: str
    label: str
    corners: tuple[str, ...]
    size: tuple[str, ...] = ()
    crowd: str | None = None
    split: str | None = None
    group: str | None = None


def columns_of(
    columns: Sequence[str],
    image: str | None,
    label: str | None,
    corners: Sequence[str] | None,
    split: str | None,
    group: str | None = None,
) -> tuple[Columns | None, list[str]]:
    """Those that are named, or known by their names where None is; None and why not."""
    wrong = []
    named = {"image_column": image, "class_column": label, "split_column": split}
    named["group_column"] = group
    named |= {"box_columns": None} if corners is None else {}
    for key, name in [*named.items(), *(("box_columns", one) for one in corners or ())]:
        if name is not None and name not in columns:
            near = did_you_mean(name, columns)
            wrong.append(f"there is no column {name!r} (data.{key}), only {_some(columns)}.{near}")
    if corners is not None and len(corners) != 4:
        wrong.append(f"data.box_columns={list(corners)}; wanted left, top, right and bottom.")
    chosen_image = image or column(columns, IMAGES)
    chosen_label = label or column(columns, CLASSES)
    chosen_corners = tuple(corners or corner_columns(columns))
    found = (
        ("image_column", chosen_image, IMAGES),
        ("class_column", chosen_label, CLASSES),
        ("box_columns", chosen_corners, CORNERS[0]),
    )
    for key, chosen, usual in found:
        if not chosen:
            known = ", ".join(usual)
            wrong.append(
                f"no column is called as one of {known}, only {_some(columns)}: data.{key}"
            )
    if wrong or chosen_image is None or chosen_label is None:
        return None, wrong
    sides = tuple(column(columns, (side,)) or "" for side in ("width", "height"))
    size = sides if all(sides) else ()
    crowd = column(columns, GROUPS)
    return Columns(chosen_image, chosen_label, chosen_corners, size, crowd, split, group), []


def _some(columns: Sequence[str]) -> str:
    return ", ".join(columns[:20])


def records_of(
    table: Mapping[str, Sequence[Any]],
    of: Columns,
    split: str,
    names: ImageNames,
    root: Path,
    first_pixel: int,
    bad: Bad,
) -> dict[str, list[ImageRecord]]:
    """Split → its images in the order of their first rows; what is wrong goes into `bad`."""
    found: dict[str, dict[str, ImageRecord]] = {}
    corners = np.stack([numbers(table[name]) for name in of.corners], axis=1)
    fractions = are_fractions(corners)
    sides = np.stack([numbers(table[name]) for name in of.size], axis=1) if of.size else None
    labels = [as_text(cell) for cell in table[of.label]]
    crowds = [of.crowd and as_text(cell).lower() in YES for cell in table[of.crowd or of.label]]
    words = [as_text(cell) for cell in table[of.split]] if of.split else None
    for row, cell in enumerate(table[of.image]):
        place, name = f"row {row + 1}", as_text(cell)
        if not name or name_fault(name):
            bad.add("no name of an image", f"{place} ({name_fault(name)})" if name else place)
            continue
        home = split if words is None else split_of(words[row])
        if home is None:
            bad.add(f"{of.split} is not train, val or test", f"{place} ({words and words[row]!r})")
            continue
        path = names.of(name, place, bad)
        one = found.setdefault(home, {}).get(path)
        belongs = as_text(table[of.group][row]) if of.group else ""
        if of.group and not belongs:
            bad.add(f"no group in {of.group}", place)
        if one is not None and one.group != belongs:
            bad.add(f"images of several groups in {of.group}", f"{place} ({name})")
        if one is None:
            one = found[home][path] = ImageRecord(path, group=belongs)
            given = (
                (0, 0)
                if sides is None or not np.isfinite(sides[row]).all()
                else (
                    int(sides[row, 1]),
                    int(sides[row, 0]),
                )
            )
            one.size = given if is_size(*given) else size_or_none(root / path)
        empty = [not as_text(table[column][row]) for column in of.corners]
        if all(empty) and not labels[row]:
            continue  # an image without a box
        if not labels[row] or all(empty):
            lacking = "no class beside a box" if not labels[row] else "no box beside a class"
            bad.add(lacking, place)
            continue
        left, top, right, bottom = corners[row].tolist()
        if fractions:
            height, width = one.size
            left, top, right, bottom = left * width, top * height, right * width, bottom * height
        start = 0 if fractions else first_pixel
        box = (left - start, top - start, right - left + start, bottom - top + start)
        one.add(place, labels[row], box, crowd=bool(crowds[row]))
    return {split: list(images.values()) for split, images in found.items()}
