"""Images of more than 8 bits: one scale for all of a data set, and a word about what is lost.

All that is shown to a model has 8 bits. Files of 16 bits keep their upper byte; of floating-point
and 32-bit ones nobody says which value is white, so it is inferred from the highest of some images,
once for all: an image by itself would be as bright as the next, however dark it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vit.data.core.images import WHITES, BadImage, white_for, with_image
from vit.data.core.sources import Encoded, FileSource

SHALLOW = (b".jpg", b".jpeg", b".webp", b".gif", b".bmp")  # what has 8 bits always
LOOKED_AT = 64  # headers of train, for the scale
DECODED = 16  # of those whose files do not say what is white
WARNED_OF = 256  # headers of each split, for the warning


@dataclass(frozen=True)
class Deep:
    """How deep an image is: its kind, and the least and the highest of its values."""

    kind: str  # "16 bits", "floating-point" or "32 bits"
    low: float
    high: float


def agree_on_white(sources: Mapping[str, Any]) -> None:
    """Sets `white` of all sources where images of train do not say it themselves."""
    train = sources.get("train")
    if not isinstance(train, Encoded):
        return
    looked_at = _some(range(len(train)), LOOKED_AT)
    unsaid = [at for at in looked_at if _kind_at(train, at) in ("32 bits", "floating-point")]
    found = [deep for at in _some(unsaid, DECODED) if (deep := _measured(train, at))]
    if not found:
        return
    whole = all(deep.kind == "32 bits" for deep in found)
    white = white_for(max(deep.high for deep in found), whole)
    for source in sources.values():
        if isinstance(source, Encoded):
            source.white = white


def deep_warnings(sources: Mapping[str, Any]) -> list[str]:
    """A line for each kind of deep images, with the share of their range that is used."""
    found: list[Deep] = []
    counts = [0, 0]  # deep ones, and all that were looked at
    white = None
    for source in sources.values():
        if isinstance(source, Encoded):
            looked_at = _some(range(len(source)), WARNED_OF)
            deep = [at for at in looked_at if _kind_at(source, at)]
            counts = [counts[0] + len(deep), counts[1] + len(looked_at)]
            found += [one for at in _some(deep, DECODED) if (one := _measured(source, at))]
            white = source.white
    return remarks_on(found, f"{counts[0]} of {counts[1]} images looked at", white)


def remarks_on(found: Iterable[Deep], which: str, white: float | None) -> list[str]:
    """What to say of deep images, `which` of them first."""
    lines = []
    kinds: dict[str, list[Deep]] = {}
    for deep in found:
        kinds.setdefault(deep.kind, []).append(deep)
    for kind, alike in kinds.items():
        low, high = min(deep.low for deep in alike), max(deep.high for deep in alike)
        top = WHITES[-1] if kind == "16 bits" else white or white_for(high, kind == "32 bits")
        used = f"values reach {high:,.6g} of {top:,.0f} ({min(high / top, 1):.1%} of the range"
        if kind == "16 bits":
            bits = math.ceil(math.log2(max(high, 1) + 1))
            levels = round(high / 257) + 1
            lines.append(
                f"{which} are deep: of {kind} the upper 8 are kept; {used}, {bits} of 16 bits), "
                f"which leaves {levels} of 256 levels"
                + (f"; stored times {2 ** (16 - bits)}, they would use more" * (bits < 16))
            )
            continue
        beyond = f"; what is above {top:,.0f} is white" * (high > top)
        below = "; what is below 0 is black" * (low < 0)
        lines.append(
            f"{which} are deep: {kind} values, of which {top:,.0f} is taken for white in all "
            f"images; {used}){beyond}{below}"
        )
    return lines


def deep_in(image: Image.Image) -> Deep | None:
    """How deep an opened image is; None where it has 8 bits. Reads its pixels."""
    kind = _kind(image)
    if not kind:
        return None
    values = np.asarray(image)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    # Of 16 bits in colour Pillow gives the upper 8 alone.
    upper = kind == "16 bits" and not image.mode.startswith("I")
    return Deep(kind, low, high * 257 if upper else high)


def _kind(image: Image.Image) -> str:
    """From the header alone: the kind of a deep image, or ""."""
    if image.mode in ("F", "I"):
        return "floating-point" if image.mode == "F" else "32 bits"
    raw = any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    deep = image.mode.startswith("I;16") or (raw and image.mode in ("RGB", "RGBA", "L", "LA"))
    return "16 bits" if deep else ""


def _kind_at(source: Encoded, position: int) -> str:
    if isinstance(source, FileSource) and (
        not source.pictures or source.names[position].lower().endswith(SHALLOW)
    ):
        return ""
    try:
        return with_image(source.file(position), "", _kind)
    except (BadImage, OSError):
        return ""  # for the check of images to tell


def _measured(source: Encoded, position: int) -> Deep | None:
    try:
        deep = with_image(source.file(position), "", deep_in)
    except (BadImage, OSError):
        return None
    return deep if deep and math.isfinite(deep.low) and math.isfinite(deep.high) else None


def _some(positions: Sequence[int], most: int) -> list[int]:
    if len(positions) <= most:
        return list(positions)
    return [positions[at] for at in np.linspace(0, len(positions) - 1, most).round().astype(int)]
