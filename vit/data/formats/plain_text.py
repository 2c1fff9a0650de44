"""Text of data's own files, whoever wrote it: how it is opened and decoded, and what is said.

Every kind of data reads its lists, tables, labels and JSON through this, so that each error names
the file and the row, a mark of byte order is part of no name, and nothing waits at a pipe.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from vit.gzipped import unpacked

MOST_BYTES = 1 << 32  # of one file of text; it is held in memory several times over
MARKS = (  # the longest first: that of UTF-16 begins one of UTF-32
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def open_regular(file: Path) -> BinaryIO:
    """The file's bytes. Raises OSError as `open`, and for what is no file, such as a pipe."""
    wait_for_nobody = getattr(os, "O_NONBLOCK", 0)  # else a pipe without a writer waits for ever
    descriptor = os.open(file, os.O_RDONLY | wait_for_nobody | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")  # noqa: PTH123 - a number has no Path
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    raise OSError(errno.EINVAL, "is no regular file, but a pipe or a device", str(file))


def in_words(fault: OSError) -> str:
    """What the system said, with the file's name before it."""
    what = fault.strerror or str(fault)
    return f"{fault.filename}: {what}." if fault.filename else f"{what}."


def read_bytes(file: Path) -> bytes:
    """Raises ValueError naming the file where it cannot be read, or is too large for text."""
    try:
        with open_regular(file) as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as fault:
        raise ValueError(f"{file}: {fault.strerror}.") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"{file} is larger than {MOST_BYTES:,} bytes, too large for text.")
    return content


def read_text(file: Path) -> str:
    """The text of a file, unpacked where its name ends with .gz; raises ValueError naming it."""
    content = read_bytes(file)
    if file.suffix.lower() == ".gz":
        content = unpacked(content, str(file))
    return decoded(content, str(file))


def lines_of(file: Path) -> list[str]:
    """Its lines without blanks at either end, and without those that are empty."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def decoded(content: bytes, name: str) -> str:
    """UTF-8, or UTF-16 and 32 by their marks, which are left out; ValueError with the row."""
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:2] and len(content) > 1:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"  # without its mark
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as fault:
        row = content[: fault.start].count(b"\n") + 1
        raise ValueError(
            f"{name}, row {row}: byte 0x{content[fault.start]:02x} is no "
            f"{encoding.removesuffix('-sig').upper()}; the file is in another encoding, such as "
            "Windows-1252 or GBK. Save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8."
        ) from None


def read_json(file: Path) -> Any:
    """What a JSON file holds; ValueError naming it."""
    return parsed_json(read_text(file), str(file))


def parsed_json(text: str, name: str) -> Any:
    """What a text of JSON means; ValueError that begins with the name."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply for JSON of data.") from None
    except ValueError as fault:
        raise ValueError(f"{name} is no JSON: {fault}.") from None


def is_text(value: str) -> bool:
    """Whether it can be written down: JSON's halves of a pair and bytes of no UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
