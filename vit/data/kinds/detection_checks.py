"""What image files and their annotations say of the images' sizes, and where they differ."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vit.data.annotations.packed import AnnotatedSource
from vit.data.core.images import BadImage, other_size
from vit.data.core.sources import FileSource
from vit.data.core.turned_images import turn_warnings, upright_size
from vit.data.kinds.checks import HEADERS_READ, evenly_spaced


def image_sizes(source: AnnotatedSource, full: bool = False) -> tuple[list[str], list[str]]:
    """Images of another size than their annotations say, and what is odd about EXIF's turns.

    Reads the headers of 10,000 images, or of all where `full`; those that cannot be read are for
    another check.
    """
    assert isinstance(source, FileSource)
    positions = np.arange(len(source))
    if not full:
        positions = evenly_spaced(positions, HEADERS_READ)

    def look(position: int) -> tuple[str, str] | None:
        """The sort of oddity and the image."""
        annotated = tuple(source.annotations.sizes[position].tolist())
        try:
            upright, sort = upright_size(source.path(position), annotated)
        except BadImage:
            return None
        if sort == "wrong":
            return sort, f"{source.path(position)}: {other_size(upright, annotated)}"
        return (sort, source.name(position)) if sort else None

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        found = [one for one in pool.map(look, positions.tolist()) if one]
    sorts = {sort: [name for kind, name in found if kind == sort] for sort, _ in found}
    warnings = turn_warnings(sorts, "annotations")
    return sorts.get("wrong", []), warnings
