"""Image files that hold several images, of which the first is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from vit.data.core.images import BadImage, with_image
from vit.data.core.sources import FileSource, Source
from vit.faults import shorten

SUFFIXES = (b".gif", b".tif", b".tiff", b".webp")  # of files that may hold several
LOOKED_AT = 1000  # per source


def frame_warnings(sources: Mapping[str, Source]) -> list[str]:
    """A line for each source with animations or pages; opens 1,000 such files, evenly spread."""
    lines = []
    for name, source in sources.items():
        if not isinstance(source, FileSource) or not source.pictures or not len(source):
            continue
        count = min(len(source), LOOKED_AT)
        some = np.linspace(0, len(source) - 1, count).round().astype(np.int64).tolist()
        likely = [at for at in some if bytes(source.names[at]).lower().endswith(SUFFIXES)]
        several = [source.name(at) for at in likely if _has_several(source, at)]
        if several:
            lines.append(
                f"{name}: {len(several)} of {len(likely)} files looked at hold several frames or "
                f"pages, of which the first alone is read: {shorten(several)}."
            )
    return lines


def _has_several(source: FileSource, position: int) -> bool:
    def look(image: Image.Image) -> bool:
        return bool(getattr(image, "is_animated", False))

    try:
        return with_image(source.path(position), "", look)
    except BadImage:
        return False  # a fault, reported as such
