"""Pictures of what a run got wrong: pictures/SPLIT in its folder, with pictures.json beside them.

`pictures.json` has `schema_version`, `split`, `step`, `epoch`, `legend` (pairs of words and a
colour, #rrggbb) and `pictures`, the worst first: `file`, `words`, `sample`, `width`, `height`.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vit.faults import Refused
from vit.runs.files import content, read_json
from vit.runs.links import refuse_links
from vit.runs.shapes import WHOLE, Shape, maybe
from vit.runs.writing import write_json

VERSION = 1
SMALLEST, LARGEST = 128, 512  # pixels of the longer side of a stored picture
LARGEST_MAP = 1024  # likewise where classes are shown pixel by pixel: thin ones would be lost
GAP = 2  # pixels between pictures side by side
LOSSLESS_BELOW = 65  # pixels; a digit of 8×8 enlarged has edges that compression would smear
FORMATS = {"WEBP": "image/webp", "PNG": "image/png", "JPEG": "image/jpeg"}
MOST_BYTES = 1 << 20  # of one file that is believed
MOST_PIXELS = 1 << 25  # of one picture: a file of 1 MB may unpack to gigabytes
LISTING = Shape({"step": maybe(WHOLE), "epoch": maybe(WHOLE)})


@dataclass(frozen=True)
class Mistake:
    """A picture of something that went wrong, and what went wrong in words."""

    image: Image.Image
    words: str
    sample: str  # what a person would look for: a file, or a number in the set
    across: int = 1  # pictures side by side in it, each of which may be as wide
    largest: int = LARGEST  # pixels of the longer side; what is larger is shrunk


@dataclass(frozen=True)
class Album:
    """The worst first; `legend` says what colours in the pictures mean."""

    mistakes: Sequence[Mistake]
    legend: Sequence[tuple[str, str]] = ()


def write_album(
    run_dir: Path, split: str, album: Album, step: int | None = None, epoch: int | None = None
) -> Path:
    """Replaces the pictures of a split; `step` and `epoch` are None at the selected checkpoint.

    The list comes last, so that it names files that are there.
    """
    folder = run_dir / "pictures" / split
    refuse_links(folder, run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows, token = [], secrets.token_hex(3)
    for number, mistake in enumerate(album.mistakes, start=1):
        image = shown(mistake.image, mistake.across, mistake.largest)
        file = folder / f"{token}-{number:02}.webp"
        image.save(file, "WEBP", **_quality(mistake.image))
        size = {"width": image.width, "height": image.height}
        rows.append({"file": file.name, "words": mistake.words, "sample": mistake.sample, **size})
    listed = {
        "schema_version": VERSION,
        "split": split,
        "step": step,
        "epoch": epoch,
        "legend": [list(pair) for pair in album.legend],
        "pictures": rows,
    }
    listing = folder / "pictures.json"
    write_json(listing, listed)
    names = {row["file"] for row in rows}
    for old in folder.glob("*.webp"):
        if old.name not in names:
            old.unlink(missing_ok=True)
    return listing


def shown(image: Image.Image, across: int = 1, largest: int = LARGEST) -> Image.Image:
    """At a size for people: small ones enlarged in whole steps, large ones shrunk.

    In RGB, or in grey where there is no colour: what is a third as large is written faster.
    """
    image = _grey_if_grey(image.convert("RGB"))
    longer = max(image.size)
    if longer < SMALLEST:
        times = -(-SMALLEST // longer)
        size = (image.width * times, image.height * times)
        return image.resize(size, Image.Resampling.NEAREST)
    image.thumbnail((across * largest + (across - 1) * GAP, largest))
    return image


def _grey_if_grey(image: Image.Image) -> Image.Image:
    red, green, blue = (channel.tobytes() for channel in image.split())
    return image.getchannel(0) if red == green == blue else image


def _quality(image: Image.Image) -> dict[str, Any]:
    """With the least effort: 12 pictures of 320 pixels take 38 ms instead of 120, and a fifth more
    bytes."""
    kept = {"lossless": True} if max(image.size) < LOSSLESS_BELOW else {"quality": 80}
    return {**kept, "method": 0}


def read_album(run_dir: Path, split: str) -> dict[str, Any] | None:
    """pictures.json with each `file` as a path; None where there is none, or of another version.

    Files that are not there, or lie elsewhere, are left out.
    """
    folder = run_dir / "pictures" / split
    listing = read_json(folder / "pictures.json", LISTING, run_dir)
    if listing is None or listing.get("schema_version") != VERSION:
        return None
    pictures = []
    for row in _rows(listing, "pictures"):
        name = row.get("file") if isinstance(row, dict) else None
        if isinstance(name, str) and name == Path(name).name and _is_own(folder / name):
            words = {key: str(row.get(key) or "") for key in ("words", "sample")}
            pictures.append({"file": str(folder / name), **words})
    pairs = [
        (str(pair[0]), str(pair[1]))
        for pair in _rows(listing, "legend")
        if isinstance(pair, list) and len(pair) == 2
    ]
    return {
        "split": split,
        "step": listing.get("step"),
        "legend": pairs,
        "pictures": pictures,
    }


def picture_content(file: Path) -> tuple[str, bytes, tuple[int, int]] | None:
    """MIME type, bytes and size of what is truly a WebP, PNG or JPEG file; None of all else."""
    with suppress(OSError, ValueError, SyntaxError, Refused, Image.DecompressionBombError):
        data = content(file, most=MOST_BYTES)
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.load()
            return FORMATS[str(image.format)], data, image.size
    return None


def _rows(listing: dict[str, Any], key: str) -> list[Any]:
    rows = listing.get(key)
    return rows if isinstance(rows, list) else []


def _is_own(file: Path) -> bool:
    with suppress(OSError):  # a name that no file can have
        return file.is_file() and not file.is_symlink()
    return False
