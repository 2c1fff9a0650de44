"""The objects of images: of one as arrays, and of a whole source in few."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from vit.data.annotations.segments import Segments, decoded
from vit.data.core.sources import Source
from vit.structures import RunLengths


@dataclass
class ImageAnnotations:
    """The objects of one image, in pixels of the picture as it is read.

    A `crowd` box holds many objects nobody marked one by one: it is never trained on, and in the
    metric what is found within it counts neither for nor against.
    """

    labels: np.ndarray  # [objects], int64
    boxes_xyxy: np.ndarray  # [objects, 4], float64
    crowd: np.ndarray  # [objects], bool
    areas: np.ndarray  # [objects], float64: square pixels of the object, not of its box
    masks: np.ndarray | None = None  # [objects, height, width], bool

    def __len__(self) -> int:
        return len(self.labels)

    def apart(self) -> ImageAnnotations:
        """Those that are one object each: what there is to learn."""
        if not self.crowd.any():
            return self
        keep = ~self.crowd
        return ImageAnnotations(
            self.labels[keep],
            self.boxes_xyxy[keep],
            self.crowd[keep],
            self.areas[keep],
            None if self.masks is None else self.masks[keep],
        )


@dataclass(eq=False)
class Annotations:
    """The objects of all images of a source, one image's after the other's.

    A few arrays, since a million objects of Python would be copied, one by one, to every worker.
    """

    labels: np.ndarray  # [objects], int64
    boxes_xyxy: np.ndarray  # [objects, 4], float64
    crowd: np.ndarray  # [objects], bool
    areas: np.ndarray  # [objects], float64
    starts: np.ndarray  # [images + 1]: image i has the objects starts[i] to starts[i + 1]
    sizes: np.ndarray  # [images, 2], height and width in pixels
    segments: Segments | None = None  # the outlines, where masks are asked for

    def of(self, position: int, masks: bool = False) -> ImageAnnotations:
        """The objects of one image; with their masks where asked."""
        some = slice(int(self.starts[position]), int(self.starts[position + 1]))
        found = None
        if masks:
            height, width = self.sizes[position].tolist()
            outlines = self.outlines(position)
            found = np.zeros((len(outlines), height, width), dtype=bool)
            for row, outline in enumerate(outlines):
                found[row] = decoded(outline, height, width)
        return ImageAnnotations(
            self.labels[some], self.boxes_xyxy[some], self.crowd[some], self.areas[some], found
        )

    def outlines(self, position: int) -> list[Any]:
        """The outlines of one image's objects; ValueError where they were not read."""
        if self.segments is None:
            raise ValueError("the outlines were not read: data.masks=true does.")
        return self.segments.of(int(self.starts[position]), int(self.starts[position + 1]))

    def add_to(self, digest: hashlib.blake2b) -> None:
        """Adds all that is said of all images, for a fingerprint."""
        for values in (self.labels, self.boxes_xyxy, self.crowd, self.areas, self.starts):
            digest.update(np.ascontiguousarray(values).tobytes())
        if self.segments is not None:
            digest.update(self.segments.text.tobytes())

    @property
    def images(self) -> np.ndarray:
        """The position of each object's image."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def present(self, num_classes: int) -> np.ndarray:
        """A row of zeros and ones per image: which classes it shows. [images, classes], uint8."""
        rows = np.zeros((len(self.starts) - 1, num_classes), dtype=np.uint8)
        rows[self.images, self.labels] = 1
        return rows


def joined(marked: list[ImageAnnotations], sizes: list[tuple[int, int]]) -> Annotations:
    """The objects of several images as one; their masks are left behind."""
    counts = [len(one) for one in marked]
    return Annotations(
        labels=np.concatenate([one.labels for one in marked]),
        boxes_xyxy=np.concatenate([one.boxes_xyxy for one in marked]),
        crowd=np.concatenate([one.crowd for one in marked]),
        areas=np.concatenate([one.areas for one in marked]),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
    )


@runtime_checkable
class AnnotatedSource(Source, Protocol):
    """Images with objects in them; `labels` tell which classes an image shows."""

    @property
    def annotations(self) -> Annotations: ...

    def marked(
        self, position: int, channels: int, masks: bool = False
    ) -> tuple[Image.Image, ImageAnnotations]:
        """A picture and what is in it; raises BadImage where it cannot be read."""
        ...

    def run_lengths(self, position: int) -> list[RunLengths]:
        """The objects' masks as COCO's compressed run lengths, without reading the picture."""
        ...
