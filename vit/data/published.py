"""Annotations as their files have them, and what is kept of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vit.data.annotation_checks import class_warnings, judged, shared_images
from vit.data.annotations import Annotations, DetectionContents, Marked
from vit.data.folder import PHOTO_MEAN, PHOTO_STD
from vit.data.images import open_image
from vit.data.segments import Segments, area, outline_fault
from vit.data.sources import FileSource
from vit.faults import Fault


@dataclass
class Published:
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


@dataclass(eq=False)
class MarkedFiles(FileSource):
    """Image files with annotations; a MarkedSource."""

    annotations: Annotations = field(kw_only=True)

    def marked(
        self, position: int, channels: int, masks: bool = False
    ) -> tuple[Image.Image, Marked]:
        return self.read(position, channels), self.annotations.of(position, masks)

    def read(self, position: int, channels: int) -> Image.Image:
        height, width = self.annotations.sizes[position].tolist()
        size = (height, width) if height else None
        return open_image(self.path(position), channels, size=size)


def contents_of(
    splits: dict[str, Published],
    class_names: tuple[str, ...],
    class_ids: tuple[int, ...],
    masks: bool,
    faults: list[Fault],
) -> DetectionContents:
    """What a kind of files has to say, judged: sound objects only, and all that is wrong or odd."""
    sources: dict[str, MarkedFiles] = {}
    warnings: list[str] = []
    for split, published in splits.items():
        verdict = judged(published, masks)
        faults += published.faults + verdict.faults
        warnings += verdict.warnings
        kept = _kept(published, verdict.keep, verdict.boxes_xyxy, masks)
        sources[split] = MarkedFiles(
            root=published.root,
            names=np.array([name.encode() for name in published.names], dtype=bytes),
            labels=kept.present(len(class_names)),
            listed=False,
            annotations=kept,
        )
    faults += shared_images(splits)
    warnings += class_warnings(splits["train"], class_names)
    return DetectionContents(
        sources={**sources},
        class_names=class_names,
        class_ids=class_ids,
        channels=3,
        mean=PHOTO_MEAN,
        std=PHOTO_STD,
        origin={split: published.origin for split, published in splits.items()},
        faults=faults,
        warnings=warnings,
    )


def _kept(
    published: Published, keep: np.ndarray, boxes_xyxy: np.ndarray, masks: bool
) -> Annotations:
    """The objects that are kept, by image, in the order in which they were published."""
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(published.image_of[rows], kind="stable")]
    counts = np.bincount(published.image_of[rows], minlength=len(published.names))
    boxes = boxes_xyxy[rows]
    areas = published.areas[rows].copy()
    for at in np.flatnonzero(~np.isfinite(areas)).tolist():
        outline = published.outlines[rows[at]]
        height, width = published.sizes[published.image_of[rows[at]]].tolist()
        sides = boxes[at, 2:] - boxes[at, :2]
        sound = outline and not outline_fault(outline, height, width)
        areas[at] = area(outline, height, width) if sound else sides.prod()
    return Annotations(
        labels=published.class_of[rows].astype(np.int64),
        boxes_xyxy=boxes,
        crowd=published.crowd[rows],
        areas=areas,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        sizes=published.sizes,
        segments=Segments.of([published.outlines[row] for row in rows]) if masks else None,
    )
