"""Gzipped text from anywhere: unpacked as far as text goes, and no further."""

from __future__ import annotations

import gzip
import zlib
from io import BytesIO

# Of a gzipped file: text seldom shrinks to less than a fiftieth, a bomb to a thousandth.
UNPACKED_ANYWAY, MOST_TIMES = 1 << 26, 200


def unpacked(content: bytes, name: str) -> bytes:
    """What was gzipped; ValueError where it is damaged, or grows beyond what text does."""
    most = max(UNPACKED_ANYWAY, MOST_TIMES * len(content))
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
            found = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise ValueError(f"{name} cannot be unpacked: {fault}.") from None
    if len(found) > most:
        raise ValueError(
            f"{name} unpacks to more than {MOST_TIMES} times its size, as a bomb does; if it is "
            "meant, unpack it by gunzip and name the file without .gz."
        )
    return found
