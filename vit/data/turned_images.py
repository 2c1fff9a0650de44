"""Images that EXIF turns, and whether what is said of their places was said before or after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from vit.data.images import stored_size
from vit.faults import few

Sort = Literal["wrong", "unclear", "lying"]


def upright_size(file: Path, told: tuple[int, int]) -> tuple[tuple[int, int], Sort | None]:
    """Height and width of the image after EXIF's turn, and what is odd about the size `told`.

    It is "wrong" where the image has it neither before nor after the turn, "lying" where only
    before, "unclear" where both, though turned. Reads the header; BadImage where it cannot.
    """
    height, width, orientation = stored_size(file)
    upright = (width, height) if orientation >= 5 else (height, width)
    if told not in (upright, (height, width)):
        return upright, "wrong"
    if orientation == 1:
        return upright, None
    if upright == (height, width):
        return upright, "unclear"
    return upright, "lying" if told == (height, width) else None


def turn_warnings(sorts: Mapping[str, list[str]], what: str) -> list[str]:
    """A line for each sort of turned images, by their names; `what` was drawn on them."""
    odd = []
    if unclear := sorts.get("unclear"):
        odd.append(
            f"{len(unclear)} images are turned by EXIF, and their size does not tell whether the "
            f"{what} were made before or after; taken as after: {few(unclear)}."
        )
    if lying := sorts.get("lying"):
        odd.append(
            f"{len(lying)} images are annotated as they lie in the file, without EXIF's turn; they "
            f"are read so: {few(lying)}."
        )
    return odd
