"""Images of which a PNG says, by its colours, to which segment each pixel belongs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from vit.data.annotations.files import AnnotatedFiles
from vit.data.annotations.packed import ImageAnnotations
from vit.data.annotations.segments import run_lengths_of_mask
from vit.data.core.images import BadImage, orientation, with_image
from vit.structures import RunLengths


@dataclass(eq=False)
class PanopticFiles(AnnotatedFiles):
    """Image files with annotations whose masks are the colours of a PNG; a AnnotatedSource.

    A colour's number is R + 256 G + 65536 B; 0 is no segment.
    """

    maps_root: Path = field(kw_only=True)
    map_names: np.ndarray = field(kw_only=True)  # [images], bytes
    segment_ids: np.ndarray = field(kw_only=True)  # [objects], int64: their colours' numbers

    def marked(
        self, position: int, channels: int, masks: bool = False
    ) -> tuple[Image.Image, ImageAnnotations]:
        image, found = super().marked(position, channels)
        return image, replace(found, masks=self._masks(position)) if masks else found

    def run_lengths(self, position: int) -> list[RunLengths]:
        return [run_lengths_of_mask(mask) for mask in self._masks(position)]

    def segments(self, position: int) -> np.ndarray:
        """Whose each pixel is, [height, width], int64: 1 is the image's first object, 0 nobody's.

        Raises BadImage where the PNG cannot be read, is of another size than the image, or has
        a colour that no object has.
        """
        path = self.maps_root / os.fsdecode(self.map_names[position])
        colours = with_image(path, str(path), _colours)
        size = tuple(self.annotations.sizes[position].tolist())
        if colours.shape != size:
            raise BadImage(
                f"{path}: is {colours.shape[1]}×{colours.shape[0]} pixels, but its image "
                f"{size[1]}×{size[0]} (width × height)."
            )
        first, last = self.annotations.starts[position : position + 2].tolist()
        number_of = {0: 0}
        for number, colour in enumerate(self.segment_ids[first:last].tolist(), 1):
            number_of[colour] = number
        present, inverse = np.unique(colours, return_inverse=True)
        unknown = [colour for colour in present.tolist() if colour not in number_of]
        if unknown:
            raise BadImage(
                f"{path}: {len(unknown)} segments are not listed, or were dropped for their boxes, "
                f"such as {unknown[0]}."
            )
        numbers = np.array([number_of[colour] for colour in present.tolist()], dtype=np.int64)
        return numbers[inverse.reshape(size)]

    def _masks(self, position: int) -> np.ndarray:
        first, last = self.annotations.starts[position : position + 2].tolist()
        return self.segments(position) == np.arange(1, last - first + 1)[:, None, None]

    def content(self, position: int) -> bytes:
        return (
            super().content(position)
            + (self.maps_root / os.fsdecode(self.map_names[position])).read_bytes()
        )


def _colours(image: Image.Image) -> np.ndarray:
    if image.format != "PNG" or image.mode not in ("RGB", "RGBA"):
        raise BadImage(f"is a {image.format} of mode {image.mode}; wanted a PNG in RGB.")
    if orientation(image) != 1:
        raise BadImage("is turned by EXIF; store it without, as it is to lie on its image.")
    red, green, blue = np.asarray(image)[..., :3].astype(np.int64).transpose(2, 0, 1)
    return red + 256 * green + 65536 * blue
