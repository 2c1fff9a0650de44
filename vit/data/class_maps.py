"""A class for each pixel of an image: where it is read from, and how."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from vit.data.images import BadImage, UnreachableImage, open_image, with_image
from vit.data.sources import Contents, FileSource, Source
from vit.structures import IGNORED

SHOWN_MODES = ("P", "L", "1")  # of Pillow: one number of at most 8 bits per pixel


class NoClass(BadImage):
    """A map with values that are no class; the message names it."""


class MappedSource(Source, Protocol):
    """Images with class maps, [height, width], uint8: class numbers, or IGNORED."""

    def mapped(self, position: int, channels: int) -> tuple[Image.Image, np.ndarray]:
        """A picture and its map, of one size; raises BadImage where either cannot be read."""
        ...

    def class_map(self, position: int) -> np.ndarray:
        """The map without the picture."""
        ...


@dataclass(eq=False)
class SegmentationContents(Contents):
    """All that a kind of segmentation data must say; its sources are MappedSources."""


@dataclass(eq=False)
class MappedFiles(FileSource):
    """Image files, each with a file of its classes; a MappedSource.

    `zero_ignored` takes value 0 for "nobody said", and the classes are numbered from 1 on.
    """

    masks_root: Path = field(kw_only=True)
    mask_names: np.ndarray = field(kw_only=True)  # bytes, relative to masks_root
    num_classes: int = field(kw_only=True)
    zero_ignored: bool = field(kw_only=True, default=False)

    def mask_path(self, position: int) -> Path:
        return self.masks_root / self.mask_names[position].decode()

    def mapped(self, position: int, channels: int) -> tuple[Image.Image, np.ndarray]:
        found = self.class_map(position)
        height, width = found.shape
        return open_image(self.path(position), channels, size=(height, width)), found

    def class_map(self, position: int) -> np.ndarray:
        return read_class_map(self.mask_path(position), self.num_classes, self.zero_ignored)

    def content(self, position: int) -> bytes:
        return super().content(position) + self.mask_path(position).read_bytes()


def read_class_map(path: Path, num_classes: int, zero_ignored: bool = False) -> np.ndarray:
    """The map in a PNG, [height, width], uint8; palettes give numbers, their colours do not count.

    Raises NoClass where a value is neither a class nor 255, and BadImage where the file is no
    whole PNG of at most 8 bits per pixel.
    """
    try:
        stored = path.read_bytes()
    except OSError as fault:
        raise UnreachableImage(f"{path}: {fault.strerror}.") from None
    found = with_image(BytesIO(stored), str(path), _values) // _spread(stored)
    if zero_ignored:
        found = np.where((found == 0) | (found == IGNORED), IGNORED, found - 1).astype(np.uint8)
    wrong = (found >= num_classes) & (found != IGNORED)
    if wrong.any():
        first = 1 if zero_ignored else 0
        values = ", ".join(str(value + first) for value in np.unique(found[wrong])[:5].tolist())
        raise NoClass(
            f"{path}: {int(wrong.sum())} pixels have values that are no class, such as {values}; "
            f"wanted {first} to {num_classes - 1 + first}, or {IGNORED} where nobody said."
        )
    return found


def _values(image: Image.Image) -> np.ndarray:
    if image.format != "PNG" or image.mode not in SHOWN_MODES:
        raise BadImage(
            f"is a {image.format} of mode {image.mode}; wanted a PNG of 8 bits, grey or with a "
            "palette, whose values are the classes."
        )
    return np.asarray(image).astype(np.uint8)


def _spread(stored: bytes) -> int:
    """By what Pillow multiplies the values of a grey PNG of 2 or 4 bits, to fill 8."""
    depth, kind = struct.unpack_from("BB", stored, 24)  # of the header, which always comes first
    return {2: 85, 4: 17}.get(depth, 1) if kind == 0 else 1
