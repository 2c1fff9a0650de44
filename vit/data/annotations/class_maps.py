"""A class for each pixel of an image: where it is read from, and how."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from vit.data.core.images import BadImage, open_image, unreachable, upright, with_image
from vit.data.core.sources import FileSource, Source
from vit.structures import IGNORED

SHOWN_MODES = ("P", "L", "1")  # of Pillow: one number of at most 8 bits per pixel
WRONG = 254  # what a value means that means nothing; classes are fewer than 254 (see MaskFolder)
MANY = 8  # different wrong values in one map, from which on they are no labels


class BadMap(BadImage):
    """A map that is not what was wanted; `hint` says what could be done about all of its sort."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


class NoClass(BadMap):
    """A map with values that are no class; the message names it."""


@runtime_checkable
class MappedSource(Source, Protocol):
    """Images with class maps, [height, width], uint8: class numbers, or IGNORED."""

    def mapped(self, position: int, channels: int) -> tuple[Image.Image, np.ndarray]:
        """A picture and its map, of one size; raises BadImage where either cannot be read."""
        ...

    def class_map(self, position: int) -> np.ndarray:
        """The map without the picture."""
        ...


@dataclass(eq=False)
class MappedFiles(FileSource):
    """Image files, each with a file of its classes; a MappedSource.

    `meaning` tells of each value in a file what it is: see `meanings`; where there are `colours`,
    [n, 3], of each of these by its number. Images and maps are upright as their own EXIF says; an
    image that has its map's size only as it lies in the file is left so.
    """

    masks_root: Path = field(kw_only=True)
    mask_names: np.ndarray = field(kw_only=True)  # bytes, relative to masks_root
    meaning: np.ndarray = field(kw_only=True)
    colours: np.ndarray | None = field(default=None, kw_only=True)

    def mask_path(self, position: int) -> Path:
        return self.masks_root / os.fsdecode(self.mask_names[position])

    def mapped(self, position: int, channels: int) -> tuple[Image.Image, np.ndarray]:
        found = self.class_map(position)
        height, width = found.shape
        image = open_image(self.path(position), channels, size=(height, width), white=self.white)
        return image, found

    def class_map(self, position: int) -> np.ndarray:
        return read_class_map(self.mask_path(position), self.meaning, self.colours)

    def content(self, position: int) -> bytes:
        return super().content(position) + self.mask_path(position).read_bytes()


def meanings(
    num_classes: int,
    zero_ignored: bool = False,
    ignored: tuple[int, ...] = (IGNORED,),
    class_values: tuple[int, ...] | None = None,
) -> np.ndarray:
    """[256], uint8: of each value in a file its class, IGNORED, or WRONG where it is neither.

    `class_values` are the values of the classes, else they count from 0, or from 1 where 0 is
    where nobody said. A value that stands in `class_values` is never `ignored`.
    """
    first = 1 if zero_ignored else 0
    values = class_values or tuple(range(first, first + num_classes))
    found = np.full(256, WRONG, dtype=np.uint8)
    found[list(values)] = np.arange(num_classes)
    found[[value for value in ignored if value not in (class_values or ())]] = IGNORED
    if zero_ignored:
        found[0] = IGNORED
    return found


def read_class_map(
    path: Path, meaning: np.ndarray, colours: np.ndarray | None = None
) -> np.ndarray:
    """The map in a PNG, [height, width], uint8; palettes give numbers, their colours do not count.

    With `colours`, [n, 3], uint8, the colour of each pixel is looked up instead, and `meaning` is
    of its number there. Raises NoClass where a value or a colour means nothing, and BadImage where
    the file is no whole PNG of at most 8 bits per value.
    """
    try:
        stored = path.read_bytes()
    except OSError as fault:
        raise unreachable(str(path), path, fault) from None
    if colours is not None:
        pixels = with_image(BytesIO(stored), str(path), _pixels)
        if isinstance(pixels, BadMap):
            raise BadMap(f"{path}: {pixels}", pixels.hint)
        return _by_colour(path, pixels, meaning, colours)
    values = with_image(BytesIO(stored), str(path), _values)
    if isinstance(values, BadMap):
        raise BadMap(f"{path}: {values}", values.hint)
    values = values // _spread(stored)
    found = meaning[values]
    wrong = found == WRONG
    if wrong.any():
        present = np.unique(values).tolist()
        none = np.unique(values[wrong]).tolist()
        wanted = np.flatnonzero(meaning < WRONG).tolist()
        void = ", ".join(map(str, np.flatnonzero(meaning == IGNORED).tolist()))
        raise NoClass(
            f"{path}: {int(wrong.sum())} pixels have values that are no class, such as "
            f"{', '.join(map(str, none[:5]))}; wanted {_in_words(wanted)}"
            f"{f', or {void} where nobody said' if void else ''}.",
            _hint(present, none, wanted),
        )
    return found


def _pixels(image: Image.Image) -> np.ndarray | BadMap:
    """[height, width, 3], uint8; of what is seen through, the colour without that."""
    if image.format == "PNG" and image.mode in (*SHOWN_MODES, "RGB", "RGBA"):
        return np.asarray(upright(image).convert("RGB"))
    hint = "JPEG changes colours: write the maps anew, as PNG, from where they come from."
    return BadMap(
        f"is a {image.format} of mode {image.mode}; wanted a PNG whose colours are the classes.",
        hint if image.format == "JPEG" else "",
    )


def _by_colour(
    path: Path, pixels: np.ndarray, meaning: np.ndarray, colours: np.ndarray
) -> np.ndarray:
    wanted = _packed(colours)
    order = np.argsort(wanted)
    keys = _packed(pixels)
    at = np.searchsorted(wanted[order], keys).clip(max=len(order) - 1)
    number = order[at]
    known = wanted[number] == keys
    if not known.all():
        odd, counts = np.unique(keys[~known], return_counts=True)
        most = odd[np.argsort(-counts, kind="stable")][:3].tolist()
        shown = ", ".join(f"[{key >> 16},{key >> 8 & 255},{key & 255}]" for key in most)
        hint = (
            "So many colours come of smoothed edges or of JPEG: write the maps anew, resized by "
            "nearest neighbour alone."
            if len(odd) > MANY
            else "Name them in data.palette; of what counts nowhere, also in data.ignore_classes."
        )
        raise NoClass(
            f"{path}: {int((~known).sum())} pixels have colours that are not in data.palette, such "
            f"as {shown}.",
            hint,
        )
    return meaning[number]


def _packed(colours: np.ndarray) -> np.ndarray:
    """Red, green and blue as one number, [...] of [..., 3]."""
    wide = colours.astype(np.int64)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]


def _in_words(values: list[int]) -> str:
    """`0 to 20` of values that follow one another, else each of them."""
    if values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def _hint(present: list[int], none: list[int], wanted: list[int]) -> str:
    """What may have happened to a map that has those values, of which `none` are no class."""
    if len(none) > MANY:
        return (
            "So many values come of smoothed edges, of JPEG or of colours made grey: write the "
            "maps anew, resized by nearest neighbour alone, one value a class."
        )
    if len(present) == len(wanted):
        return (
            "If these are the classes in their order: "
            f"data.class_values={str(present).replace(' ', '')}."
        )
    name = f"If {none[0]} is a class, name it; if it is where nobody said"
    if none == [wanted[-1] + 1] and wanted[0] == 0:
        return (
            f"{name}: data.ignore_value={none[0]}; if 0 is where nobody said, and classes begin "
            "with 1: data.reduce_zero_label=true."
        )
    return f"{name}: data.ignore_value={none[0]}." if len(none) == 1 else ""


def _values(image: Image.Image) -> np.ndarray | BadMap:
    if image.format == "PNG" and image.mode in SHOWN_MODES:
        return np.asarray(upright(image)).astype(np.uint8)
    hint = "Write the number of its class into each pixel of a grey PNG of 8 bits."
    if image.format == "JPEG":
        hint = "JPEG changes values: write the maps anew, as PNG, from where they come from."
    elif image.mode in ("RGB", "RGBA", "LA"):
        hint = "If its colours are the classes: data.palette=… names them. " + hint
        hint += " Where all channels of a map are alike: Image.open(file).getchannel(0).save(file)."
    return BadMap(
        f"is a {image.format} of mode {image.mode}; wanted a PNG of 8 bits, grey or with a "
        "palette, whose values are the classes.",
        hint,
    )


def _spread(stored: bytes) -> int:
    """By what Pillow multiplies the values of a grey PNG of 2 or 4 bits, to fill 8."""
    depth, kind = struct.unpack_from("BB", stored, 24)  # of the header, which always comes first
    return {2: 85, 4: 17}.get(depth, 1) if kind == 0 else 1
