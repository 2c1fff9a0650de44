"""Images that EXIF turns, and whether what is said of their places was said before or after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from vit.data.core.images import stored_size
from vit.faults import shorten

# Loaders of torchvision and pycocotools do not apply EXIF, annotation tools of browsers do: both
# sorts of annotations are about. Where the size proves which, the picture is read that way, and
# places fit as they are ("lying" pictures are left lying); no box or mask is ever turned after.
Sort = Literal["wrong", "unclear", "lying"]


def upright_size(file: Path, annotated: tuple[int, int]) -> tuple[tuple[int, int], Sort | None]:
    """Height and width of the image after EXIF's turn, and what is odd about the size `annotated`.

    It is "wrong" where the image has it neither before nor after the turn, "lying" where only
    before, "unclear" where both, though turned. Reads the header; BadImage where it cannot.
    """
    height, width, orientation = stored_size(file)
    upright = (width, height) if orientation >= 5 else (height, width)
    if annotated not in (upright, (height, width)):
        return upright, "wrong"
    if orientation == 1:
        return upright, None
    if upright == (height, width):
        return upright, "unclear"
    return upright, "lying" if annotated == (height, width) else None


def turned_apart(file: Path, mask: Path) -> str:
    """What is wrong with a mask that EXIF turns itself; nothing where it goes with its image.

    A mask with a turn of its own is read upright. That is right where its image is turned alike,
    or where only so their sizes agree. Reads the headers; BadImage where it cannot.
    """
    height, width, own = stored_size(mask)
    if own == 1:
        return ""
    image_height, image_width, orientation = stored_size(file)
    alike = own == orientation and (height, width) == (image_height, image_width)
    proven = own >= 5 and orientation == 1 and height != width
    if alike or (proven and (width, height) == (image_height, image_width)):
        return ""
    return (
        f"{mask} is turned by its own EXIF (orientation {own}, its image's is {orientation}); "
        "store it without, as it is to lie on the image"
    )


def turn_warnings(sorts: Mapping[str, list[str]], what: str) -> list[str]:
    """A line for each sort of turned images, by their names; `what` was drawn on them."""
    warnings = []
    if unclear := sorts.get("unclear"):
        warnings.append(
            f"{len(unclear)} images are turned by EXIF, and their size does not tell whether the "
            f"{what} were made before or after; taken as after: {shorten(unclear)}."
        )
    if lying := sorts.get("lying"):
        warnings.append(
            f"{len(lying)} images are annotated as they lie in the file, without EXIF's turn; they "
            f"are read so: {shorten(lying)}."
        )
    return warnings
