"""The sound in a wav file, as far as it can be heard.

By hand: SciPy's reader ends in an UnboundLocalError where the size of the data is 0, and drops
the sound behind a chunk of odd length that lacks its pad byte (SciPy 1.17.1, November 2026).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import numpy as np
from jaxtyping import Float

from vit.data.core.images import BadImage, UnreachableImage, unreachable

RATES = (1_000, 400_000)  # Hz: what lies outside is a broken header
FAINTEST = 1e-4  # of full scale; 16-bit sound whose loudest sample is below 4 steps is silence
# Of the loudest channel's energy: a mean that keeps less is of channels that cancel each other.
CANCELLED = 0.01
STREAMED = 0x7FFF0000  # sizes from here on say "until it ends": who writes to a pipe cannot know
FORMS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}  # and their order of bytes
CHUNKS = (b"data", b"fmt ", b"LIST", b"fact", b"PEAK", b"bext", b"cue ", b"id3 ", b"JUNK", b"ds64")
TAIL = 1024  # bytes behind the sound that may be anything, as the notes of a player
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
LOUDEST = 1e9  # times full scale: what is beyond is no sound, and its energy no number
COMPRESSED = {2: "ADPCM", 6: "A-law", 7: "µ-law", 0x11: "ADPCM", 0x31: "GSM", 0x50: "MPEG"}
COMPRESSED |= {0x55: "MP3"}
WANTED = "wanted uncompressed sound in a .wav"


@dataclass(frozen=True)
class Format:
    """How samples lie in a wav file."""

    rate: int  # Hz
    channels: int
    kind: int  # PCM or FLOAT
    width: int  # bytes of a sample
    order: str  # of its bytes, as NumPy says it


@dataclass(frozen=True)
class Sound:
    """The samples of a wav file as fractions of full scale, its channels made one.

    `cancelled` says that the channels' mean is nearly nothing, as where they are of opposite
    phases, and that the loudest of them was taken in its place.
    """

    rate: int  # Hz
    samples: Float[np.ndarray, " samples"]
    cancelled: bool = False


def read_wav(file: Path) -> Sound:
    """The whole sound of a file.

    Sizes that are zero or too large to be true, as of a stream that was written to a pipe, mean
    that the sound goes on to the end of the file. Raises BadImage naming the file where it is no
    wav, is compressed, breaks off, is empty or silent, or has values that are not finite.
    """
    content = _content(file)
    try:
        form, data = _parts(content)
        channels = _values(form, data)
    except BadImage as fault:
        raise BadImage(f"{file}: {fault}") from None
    mixed = channels[:, 0] if form.channels == 1 else channels.mean(axis=1)
    loudest = channels[:, (channels**2).sum(axis=0).argmax()]
    cancelled = bool((mixed**2).sum() < CANCELLED * (loudest**2).sum())
    sound = loudest if cancelled else mixed
    # A level that never changes is no sound, however high it is.
    if np.abs(sound - (sound.mean() if len(sound) > 1 else 0)).max() < FAINTEST:
        still = np.abs(sound).max() < FAINTEST
        level = "" if still else f" (each sample is {sound.mean():.3g} of full scale)"
        raise BadImage(f"{file}: is silent{level}.")
    return Sound(form.rate, sound, cancelled)


def format_of(file: Path) -> Format:
    """As the head of the file says. Raises BadImage naming the file where it says none."""
    try:
        return _parts(_content(file, most=1 << 16), whole=False)[0]
    except BadImage as fault:
        raise BadImage(f"{file}: {fault}") from None


def _content(file: Path, most: int = -1) -> bytes:
    try:
        if not S_ISREG(file.stat().st_mode):  # a pipe would be waited for without end
            raise UnreachableImage(f"{file}: is no regular file.")
        with file.open("rb") as stored:
            content = stored.read(most)
    except OSError as fault:
        raise unreachable(str(file), file, fault) from None
    if not content:
        raise BadImage(f"{file}: an empty file; {WANTED}.")
    return content


def _parts(content: bytes, whole: bool = True) -> tuple[Format, bytes]:
    """The format, and the bytes of all samples; of a file's head, not `whole`, the format alone."""
    order = FORMS.get(content[:4])
    if order is None or content[8:12] != b"WAVE":
        raise BadImage(f"no wav file (it begins with {content[:4]!r}); {WANTED}.")
    form, long = None, 0
    for name, size, at in _chunks(content, order):
        if name == b"ds64" and len(content) >= at + 16:
            long = struct.unpack_from("<Q", content, at + 8)[0]
        elif name == b"fmt ":
            form = _format(content[at : at + size], order)
            if not whole:
                return form, b""
        elif name == b"data":
            if form is None:
                raise BadImage(f"no wav file (its format comes after its sound); {WANTED}.")
            return form, _data(content, at, long if size == 0xFFFFFFFF and long else size, order)
    what = "no format" if form is None else "no sound"
    raise BadImage(f"no wav file that is whole: it has {what}; {WANTED}.")


def _chunks(content: bytes, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and start of the content of each chunk, as far as the sizes lead to the next."""
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], struct.unpack_from(f"{order}I", content, at + 4)[0]
        yield name, size, at + 8
        at += 8 + size
        # Some forget the byte that fills a chunk of odd length up to an even one.
        if size % 2 and (content[at + 1 : at + 5] in CHUNKS or content[at : at + 4] not in CHUNKS):
            at += 1


def _data(content: bytes, start: int, size: int, order: str) -> bytes:
    there = len(content) - start
    followed = content[start : start + 4] in CHUNKS and _is_chunk(content, start, order)
    if size >= STREAMED > there or (size == 0 and not followed):
        return content[start:]
    if size > there:
        raise BadImage(
            f"breaks off before its end: {there:,} of the {size:,} bytes of its sound are there."
        )
    rest = start + size + size % 2
    if len(content) - rest > max(size, TAIL) and not _is_chunk(content, rest, order):
        raise BadImage(f"says that its sound has {size:,} bytes, and {there:,} are there.")
    return content[start : start + size]


def _is_chunk(content: bytes, at: int, order: str) -> bool:
    name = content[at : at + 4]
    if at + 8 > len(content) or not (name.isascii() and name.decode("ascii").isprintable()):
        return False
    return at + 8 + struct.unpack_from(f"{order}I", content, at + 4)[0] <= len(content)


def _format(chunk: bytes, order: str) -> Format:
    if len(chunk) < 16:
        raise BadImage(f"no wav file (its format is cut off); {WANTED}.")
    kind, channels, rate, _, block, bits = struct.unpack_from(f"{order}HHIIHH", chunk)
    if kind == EXTENSIBLE and len(chunk) >= 40:
        kind = struct.unpack_from(f"{order}H", chunk, 24)[0]
    if kind not in (PCM, FLOAT):
        name = COMPRESSED.get(kind, f"format {kind:#x}")
        raise BadImage(f"is compressed, or of a kind that is not read ({name}); {WANTED}.")
    if not RATES[0] <= rate <= RATES[1]:
        raise BadImage(f"says {rate} samples a second; wanted {RATES[0]} to {RATES[1]}.")
    if not channels or not bits:
        raise BadImage(f"says {channels} channels of {bits} bits; {WANTED}.")
    width = (bits + 7) // 8
    if block % channels == 0 and width < block // channels in (2, 3, 4, 8):
        width = block // channels  # 24 bits may lie in 32, the upper ones
    if width not in ((1, 2, 3, 4, 8) if kind == PCM else (4, 8)):
        what = "whole numbers" if kind == PCM else "floating-point numbers"
        raise BadImage(f"has {what} of {8 * width} bits, which are not read; {WANTED}.")
    return Format(rate, channels, kind, width, order)


def _values(form: Format, data: bytes) -> Float[np.ndarray, "samples channels"]:
    """As fractions of full scale; bytes that are no whole frame at the end are left out."""
    frames = len(data) // (form.width * form.channels)
    if not frames:
        raise BadImage("holds no sound.")
    data = data[: frames * form.width * form.channels]
    if form.kind == FLOAT:
        found = np.frombuffer(data, f"{form.order}f{form.width}").astype(np.float64)
        if wrong := int((~np.isfinite(found)).sum()):
            raise BadImage(f"holds {wrong:,} values that are not finite, NaN or infinite.")
        if (highest := np.abs(found).max()) > LOUDEST:
            raise BadImage(f"holds values up to {highest:.3g} times full scale; {WANTED}.")
    elif form.width == 1:  # the only unsigned kind
        found = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    elif form.width == 3:
        wide = np.zeros((frames * form.channels, 4), dtype=np.uint8)
        step = 1 if form.order == "<" else -1
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)[:, ::step]
        found = wide.view("<i4")[:, 0].astype(np.float64) / 2**31
    else:
        found = np.frombuffer(data, f"{form.order}i{form.width}").astype(np.float64)
        found /= 2.0 ** (8 * form.width - 1)
    return found.reshape(frames, form.channels)
