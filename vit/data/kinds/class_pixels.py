"""How many pixels of each class all training maps have, and which classes each map shows."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vit.data.annotations.class_maps import MappedSource
from vit.data.core.images import BadImage
from vit.structures import IGNORED

AT_ONCE = 1024  # maps between two looks at the clock
TOLD_EVERY = 5.0  # seconds


@dataclass(frozen=True, eq=False)
class ClassPixels:
    """Of the maps of one split.

    `pixels` are those of each class, `around` all that have a class in the maps that show it, both
    int64 [classes]. `packed` holds a bit for each class that a map shows, uint8 [maps, classes/8].
    """

    pixels: np.ndarray
    around: np.ndarray
    packed: np.ndarray

    def maps(self) -> np.ndarray:
        """How many maps show each class: int64 [classes]."""
        counts = np.zeros(len(self.pixels), dtype=np.int64)
        for first in range(0, len(self.packed), AT_ONCE):
            part = self.packed[first : first + AT_ONCE]
            counts += np.unpackbits(part, axis=1, count=len(counts)).sum(axis=0, dtype=np.int64)
        return counts


def count_class_pixels(source: MappedSource, members: np.ndarray, classes: int) -> ClassPixels:
    """Reads each of these maps once, some at a time, and says how far it is where that takes long.

    A map that cannot be read shows nothing: the check names it, or training leaves it out.
    """
    pixels, around = np.zeros((2, classes), dtype=np.int64)
    packed = np.zeros((len(members), -(-classes // 8)), dtype=np.uint8)

    def count(position: int) -> np.ndarray | None:
        try:
            found = source.class_map(position)
        except BadImage:
            return None
        return np.bincount(found.ravel(), minlength=IGNORED + 1)[:classes]

    told = time.monotonic()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for first in range(0, len(members), AT_ONCE):
            part = members[first : first + AT_ONCE].tolist()
            for row, own in enumerate(pool.map(count, part), start=first):
                if own is not None:
                    pixels += own
                    around += np.where(own > 0, own.sum(), 0)
                    packed[row] = np.packbits(own > 0)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                done = f"{first + len(part):,} of {len(members):,}"
                print(f"counting the pixels of classes: {done} maps", file=sys.stderr, flush=True)
    return ClassPixels(pixels, around, packed)


def draw_weights(found: ClassPixels, share: float) -> np.ndarray:
    """How often each map is drawn, as fractions of all draws.

    The `share` goes to classes: each as often as another, and then a map that shows it. The rest
    goes to all maps alike. Classes that no map shows have no part in it.

    Raises ValueError where no map shows a class.

    Source: Hoyer et al. 2022, arXiv:2111.14887, section 3.3, at a high temperature: all classes
    alike.
    """
    maps = found.maps()
    if not maps.any():
        raise ValueError(
            f"data.class_sampling={share:g}: no training map has a pixel of any class, so that "
            "there is nothing to draw by; wanted 0, or maps with classes."
        )
    each = np.divide(share / np.count_nonzero(maps), maps, where=maps > 0, out=np.zeros(len(maps)))
    count = len(found.packed)
    weights = np.full(count, (1 - share) / count)
    for first in range(0, count, AT_ONCE):
        part = found.packed[first : first + AT_ONCE]
        weights[first : first + AT_ONCE] += np.unpackbits(part, axis=1, count=len(maps)) @ each
    return weights
