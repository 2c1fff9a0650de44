"""Annotations as their files have them, before anything was judged."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vit.data.core.images import BadImage, image_size
from vit.faults import Fault, shorten

MOST_SIDE = 1 << 20  # pixels of an image's side; what is beyond is no size


@dataclass
class RawAnnotations:
    """The annotations of one split before anything was judged; one entry an object.

    `image_of` and `class_of` are positions in `names` and in the data's classes, -1 where what
    `image_refs` and `class_refs` say is not there. Numbers that are missing or none are NaN.
    """

    origin: str  # the file or folder that a person would open to mend it
    root: Path
    names: list[str]  # of image files, under root
    image_ids: list[Hashable]
    sizes: np.ndarray  # [images, 2] height, width; 0 where nobody says
    ids: list[Any]  # how to name an object to a person
    image_refs: list[Any]
    image_of: np.ndarray  # [objects]
    class_refs: list[Any]
    class_of: np.ndarray  # [objects]
    boxes_xywh: np.ndarray  # [objects, 4] pixels
    crowd: np.ndarray  # [objects], bool
    areas: np.ndarray  # [objects]
    outlines: list[Any]  # polygons, run lengths, or None
    faults: list[Fault] = field(default_factory=list)  # found while reading


@dataclass
class ImageRecord:
    """The objects of one image as read from a file of its own."""

    name: str  # of the image, under the folder of images or absolute
    size: tuple[int, int] = (0, 0)  # height, width; 0 where nobody says
    group: str = ""  # what it belongs to, where the data say so
    ids: list[str] = field(default_factory=list)
    class_refs: list[Any] = field(default_factory=list)
    boxes_xywh: list[tuple[float, ...]] = field(default_factory=list)  # pixels
    crowd: list[bool] = field(default_factory=list)
    outlines: list[Any] = field(default_factory=list)

    def add(
        self,
        name: str,
        class_ref: Any,
        box_xywh: tuple[float, ...],
        crowd: bool = False,
        outline: Any = None,
    ) -> None:
        self.ids.append(name)
        self.class_refs.append(class_ref)
        self.boxes_xywh.append(tuple(map(float, box_xywh)))
        self.crowd.append(crowd)
        self.outlines.append(outline)


def from_records(
    origin: str, root: Path, found: list[ImageRecord], class_of: Mapping[Any, int]
) -> RawAnnotations:
    """A split of which each image has a file of its own; `class_of` knows the classes."""
    refs = [ref for one in found for ref in one.class_refs]
    count = len(refs)
    return RawAnnotations(
        origin=origin,
        root=root,
        names=[one.name for one in found],
        image_ids=[one.name for one in found],
        sizes=np.array([one.size for one in found], dtype=np.int64).reshape(-1, 2),
        # Two images of the same name may lie in different folders; ids are for people alone.
        ids=[name for one in found for name in one.ids],
        image_refs=[one.name for one in found for _ in one.ids],
        image_of=np.repeat(np.arange(len(found)), [len(one.ids) for one in found]),
        class_refs=refs,
        class_of=np.array([class_of.get(ref, -1) for ref in refs], dtype=np.int64),
        boxes_xywh=np.array([box for one in found for box in one.boxes_xywh]).reshape(-1, 4),
        crowd=np.array([crowd for one in found for crowd in one.crowd], dtype=bool),
        areas=np.full(count, np.nan),
        outlines=[outline for one in found for outline in one.outlines],
    )


class Bad:
    """What is wrong with many small files: one fault for each sort, with the places."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, message: str, place: str) -> None:
        self._places.setdefault(message, []).append(place)

    def faults(self, origin: str) -> list[Fault]:
        return [
            Fault(origin, f"{message}: {shorten(places)} ({len(places)} in all).")
            for message, places in self._places.items()
        ]


def size_or_none(path: Path) -> tuple[int, int]:
    """Height and width from an image's header; 0, 0 where the check of images will tell why not."""
    try:
        return image_size(path)
    except BadImage:
        return 0, 0


def is_size(height: int, width: int) -> bool:
    """Whether an image may be so large in pixels: no larger than Pillow opens one."""
    if not (0 < height <= MOST_SIDE and 0 < width <= MOST_SIDE):
        return False
    return height * width <= 2 * (Image.MAX_IMAGE_PIXELS or MOST_SIDE**2)
