"""From whatever an image file holds to eight bits and one or three channels."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from vit.data.core.file_names import other_capitals
from vit.data.formats.plain_text import open_regular

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
IN_OTHER_CAPITALS = ", in other capitals."  # how it ends what is said of such a file
ORIENTATION = 0x0112  # the EXIF tag; with 5 to 8 the image lies on its side
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What is white in images whose files do not say it: of fractions, and of values of 8 and 16 bits.
WHITES = (1.0, 255.0, 65535.0)
A_LITTLE = 1.5  # times white: as far as sharpening or resizing takes values beyond it

Result = TypeVar("Result")


class BadImage(ValueError):
    """A file that is no image, or one that breaks off; the message names it."""


class UnreachableImage(BadImage):
    """A file that the system does not give out: absent, not permitted, a failing disk."""


def unreachable(name: str, path: Path | None, fault: OSError) -> UnreachableImage:
    """What to raise for a file that the system does not give out, which people know as `name`."""
    other = other_capitals(path) if path and isinstance(fault, FileNotFoundError) else None
    if other is None:
        return UnreachableImage(f"{name}: {fault.strerror}.")
    return UnreachableImage(f"{name}: {fault.strerror}, but {other}{IN_OTHER_CAPITALS}")


def none_left(left_out: Sequence[str]) -> str:
    """What to say where nothing of a batch can be read, though what is bad may be skipped."""
    more = f" {len(left_out) - 1} more are like it." if len(left_out) > 1 else ""
    return f"no image of this batch can be read: {left_out[0]}{more}"


def open_image(
    file: Path | BytesIO,
    channels: int,
    name: str = "",
    size: tuple[int, int] | None = None,
    white: float | None = None,
) -> Image.Image:
    """The image in a file, upright (EXIF), as 8-bit RGB or greyscale.

    Where annotations speak of an image of that `size` (height, width) and only the image as it
    lies in the file has it, it is left as it lies. Raises BadImage where the file is missing,
    empty, truncated, not an image, or of another size either way; the message says `name`, or else
    the path. `white` is as in `eight_bit`.
    """

    def opened(image: Image.Image) -> Image.Image:
        turned = upright(image)
        if size is not None and (turned.height, turned.width) != size:
            if (image.height, image.width) != size:
                raise BadImage(other_size((turned.height, turned.width), size))
            turned = image
        return eight_bit(turned, channels, white)

    name = name or str(file)
    if isinstance(file, Path):
        # In one read: Pillow makes about 40 of a small JPEG, a tenth of its whole cost.
        try:
            with open_regular(file) as stored:
                content = BytesIO(stored.read())
        except OSError as fault:
            raise unreachable(name, file, fault) from None
        return with_image(content, name, opened)
    return with_image(file, name, opened)


def upright(image: Image.Image) -> Image.Image:
    """The image as EXIF says that it is to be looked at; reads its pixels."""
    image.load()
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def image_size(file: Path | BytesIO, name: str = "") -> tuple[int, int]:
    """Height and width as they will be after EXIF's turn, read from the header alone."""
    height, width, orientation = stored_size(file, name)
    return (width, height) if orientation >= 5 else (height, width)


def stored_size(file: Path | BytesIO, name: str = "") -> tuple[int, int, int]:
    """Height and width as they lie in the file, and EXIF's orientation, 1 to 8, from the header."""

    def look(image: Image.Image) -> tuple[int, int, int]:
        # Pillow turns TIFFs itself, their size before their pixels.
        turned = image.format == "TIFF"
        return image.height, image.width, 1 if turned else orientation(image)

    return with_image(file, name or str(file), look)


def other_size(found: tuple[int, int], annotated: tuple[int, int]) -> str:
    """What to say of an image that is not of the size that its annotations speak of."""
    return (
        f"is {found[1]}×{found[0]} pixels, but the annotations speak of "
        f"{annotated[1]}×{annotated[0]} (width × height), as of another image or of a scaled copy."
    )


def orientation(image: Image.Image) -> int:
    """EXIF's number, 1 to 8; 1, upright, where there is none or it cannot be read."""
    try:
        number = image.getexif().get(ORIENTATION, 1)
    # A broken note says nothing of the pixels; Pillow raises any of these on one.
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, struct.error):
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def eight_bit(image: Image.Image, channels: int, white: float | None = None) -> Image.Image:
    """Mode RGB (channels 3) or L (channels 1), from any mode that Pillow reads.

    Transparent pixels are laid on white, as on a page; 16-bit values keep their high byte. Of
    floating-point and 32-bit images, whose files do not say it, `white` is the value of white, as
    it was found for a whole data set (deep_images.py); None tells it by the image alone. What is
    above is white too, and what is below 0 is black.
    """
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        image = page
    elif image.mode.startswith("I") or image.mode == "F":
        image = _from_deep(image, white)
    mode = "RGB" if channels == 3 else "L"
    if image.mode == mode:
        image.load()
        return image
    return image.convert(mode)


def white_for(highest: float, whole: bool) -> float:
    """The least of the customary values of white that `highest` exceeds by a little at most.

    `whole` numbers are never fractions.
    """
    likely = WHITES[1:] if whole else WHITES
    return next((white for white in likely if highest <= A_LITTLE * white), likely[-1])


def _from_deep(image: Image.Image, white: float | None) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise BadImage("holds values that are not finite.")
    if image.mode.startswith("I;16"):
        white = WHITES[-1]
    elif white is None:
        white = white_for(values.max(initial=0), whole=image.mode == "I")
    scaled = values * 255 if white == 1 else values / (white / 255)
    return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def with_image(file: Path | BytesIO, name: str, use: Callable[[Image.Image], Result]) -> Result:
    """What `use` makes of the opened image; raises BadImage, which says `name`, where it cannot."""
    try:
        if isinstance(file, Path):
            with open_regular(file) as stored, Image.open(stored) as image:
                return use(image)
        with Image.open(file) as image:
            return use(image)
    except BadImage as fault:
        raise BadImage(f"{name}: {fault}") from None
    except Image.UnidentifiedImageError:
        empty = _length(file) == 0
        raise BadImage(f"{name}: {'an empty file' if empty else 'not an image'}.") from None
    except Image.DecompressionBombError:
        raise BadImage(f"{name}: more pixels than a photo has; store it smaller.") from None
    # Pillow's decoders raise any of these on broken bytes.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error) as fault:
        if isinstance(fault, OSError) and fault.errno is not None:
            raise unreachable(name, file if isinstance(file, Path) else None, fault) from None
        raise BadImage(f"{name}: cannot be read to its end ({fault}).") from None


def _length(file: Path | BytesIO) -> int:
    return file.stat().st_size if isinstance(file, Path) else file.seek(0, os.SEEK_END)
