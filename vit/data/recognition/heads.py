"""The beginnings of files, whoever wrote them: a bounded part of each, opened as no program."""

from __future__ import annotations

import csv
import json
import os
import warnings
import zlib
from io import StringIO
from pathlib import Path
from typing import Any

from PIL import Image

from vit.data.formats.plain_text import decoded, open_regular

HEAD = 1 << 18  # bytes
WHOLE = 1 << 23  # up to which JSON is read as a whole
ROWS = 400
MOST_COLOURS = 256  # of a map
MOST_PIXELS = 1 << 25  # of a mask that is decoded


def head(file: Path, most: int = HEAD) -> bytes:
    """Its first bytes, unpacked where its name ends with .gz; nothing where it is unreadable."""
    try:
        with open_regular(file) as stream:
            content = stream.read(most)
    except OSError:
        return b""
    if file.name.lower().endswith(".gz"):
        try:
            return zlib.decompressobj(31).decompress(content, most)
        except zlib.error:
            return b""
    return content


def text_head(file: Path, most: int = HEAD) -> str:
    """Whole lines of text; nothing where it is none."""
    content = head(file, most)
    if len(content) >= most and b"\n" in content:
        content = content[: content.rindex(b"\n") + 1]
    try:
        return decoded(content, file.name)
    except ValueError:
        return ""


def ends(file: Path) -> tuple[str, str]:
    """The first and the last part of a large file of JSON, as text; the last is "" of a small."""
    try:
        with open_regular(file) as stream:
            first = stream.read(HEAD)
            size = os.fstat(stream.fileno()).st_size
            last = b""
            if size > HEAD:
                stream.seek(max(HEAD, size - HEAD))
                last = stream.read(HEAD)
    except OSError:
        return "", ""
    return first.decode(errors="replace"), last.decode(errors="replace")


def small_json(file: Path) -> Any:
    """What it holds, None where it is no JSON or too large to be read in passing."""
    try:
        with open_regular(file) as stream:
            content = stream.read(WHOLE + 1)
        return json.loads(content) if len(content) <= WHOLE else None
    except (OSError, ValueError, RecursionError):
        return None


def table_head(file: Path) -> list[list[str]]:
    """The first rows of a .csv or .tsv, gzipped or not; [] where it is no table."""
    text = text_head(file)
    if "\0" in text:
        return []
    first = text.partition("\n")[0]
    kind = file.name.lower().removesuffix(".gz")
    if kind.endswith(".tsv"):
        rows = [line.rstrip("\r").split("\t") for line in text.splitlines()[:ROWS] if line.strip()]
        return rows
    mark = max((",", ";", "\t"), key=lambda mark: (first.count(mark), mark == ","))
    try:
        rows = []
        for row in csv.reader(StringIO(text), delimiter=mark):
            if row:
                rows.append([cell.strip() for cell in row])
            if len(rows) >= ROWS:
                break
    except csv.Error:
        return []
    return rows


def json_rows(file: Path) -> list[dict[str, Any]]:
    """The first objects of a .jsonl."""
    rows = []
    for line in text_head(file).splitlines()[:ROWS]:
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            return []
        if isinstance(row, dict):
            rows.append(row)
    return rows


def image_head(file: Path) -> tuple[tuple[int, int], str] | None:
    """Height and width, and Pillow's mode; None where the head is no image's."""
    try:
        with warnings.catch_warnings(), open_regular(file) as stream:
            warnings.simplefilter("ignore")
            with Image.open(stream) as image:
                return (image.height, image.width), image.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def sizes_of(files: list[Path]) -> list[tuple[int, int]]:
    return [found[0] for file in files if (found := image_head(file)) is not None]


def mask_colours(file: Path) -> set[tuple[int, int, int]] | None:
    """The colours of a PNG, few as those of classes are; None where it is none, or has too many."""
    found = image_head(file)
    if found is None or found[0][0] * found[0][1] > MOST_PIXELS:
        return None
    try:
        with open_regular(file) as stream, Image.open(stream) as image:
            colours = image.convert("RGB").getcolors(MOST_COLOURS) or []
    except (OSError, ValueError, SyntaxError):
        return None
    return {(int(one[0]), int(one[1]), int(one[2])) for _, one in colours} or None  # type: ignore[index]


def mask_values(file: Path) -> set[int] | None:
    """The values of a map of 8 bits, grey or with a palette; None where it is no such map."""
    found = image_head(file)
    if found is None or found[1] not in ("L", "P") or found[0][0] * found[0][1] > MOST_PIXELS:
        return None
    try:
        with open_regular(file) as stream, Image.open(stream) as image:
            return {at for at, times in enumerate(image.histogram()) if times}
    except (OSError, ValueError, SyntaxError):
        return None
