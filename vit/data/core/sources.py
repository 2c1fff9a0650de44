"""Labelled images one at a time, from memory or from files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image

from vit.data.core.images import BadImage, UnreachableImage, eight_bit, image_size, open_image
from vit.data.formats.plain_text import open_regular
from vit.faults import Fault

S = TypeVar("S", covariant=True)  # what the samples of a kind of data are


@runtime_checkable
class Samples(Protocol):
    """Samples of whatever kind, with labels; cheap to send to another process.

    `labels` are class numbers [n], int64, or a row of zeros and ones per sample [n, classes],
    float32, where one may have several.
    """

    @property
    def labels(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def name(self, position: int) -> str:
        """What a person would look for: a path under the root, or a number in the set."""
        ...


@runtime_checkable
class Source(Samples, Protocol):
    """Images with labels."""

    def read(self, position: int, channels: int) -> Image.Image:
        """The image as 8-bit RGB or greyscale; raises BadImage where it cannot be read."""
        ...

    def size(self, position: int) -> tuple[int, int]:
        """Height and width in pixels, without decoding the pixels."""
        ...

    def content(self, position: int) -> bytes:
        """The bytes as stored, for a fingerprint."""
        ...


@dataclass(eq=False)
class ArraySource:
    """Images of one size in memory: bytes [n, height, width] or [n, height, width, 3]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def read(self, position: int, channels: int) -> Image.Image:
        return eight_bit(Image.fromarray(self.images[position]), channels)

    def size(self, position: int) -> tuple[int, int]:
        height, width = self.images.shape[1:3]
        return height, width

    def name(self, position: int) -> str:
        return f"image {position}"

    def content(self, position: int) -> bytes:
        return self.images[position].tobytes()


@dataclass(eq=False, kw_only=True)
class Encoded:
    """Images as their files have them. `white` is what deep_images.py finds for all of a set."""

    white: float | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def file(self, position: int) -> Path | BytesIO:
        """What Pillow opens."""
        raise NotImplementedError


@dataclass(eq=False)
class FileSource(Encoded):
    """Image files under one root.

    Paths are kept as one array of bytes: a million of them as Python strings would be copied,
    object by object, to every worker.
    """

    root: Path
    names: np.ndarray  # bytes, relative to root (or absolute, where a table says so)
    labels: np.ndarray
    listed: bool = True  # found by listing folders, so known to exist; a table only claims it
    pictures: ClassVar[bool] = True  # that Pillow opens

    def __len__(self) -> int:
        return len(self.names)

    def path(self, position: int) -> Path:
        return self.root / self.name(position)

    def file(self, position: int) -> Path | BytesIO:
        return self.path(position)

    def read(self, position: int, channels: int) -> Image.Image:
        return open_image(self.path(position), channels, white=self.white)

    def size(self, position: int) -> tuple[int, int]:
        return image_size(self.path(position))

    def name(self, position: int) -> str:
        return os.fsdecode(self.names[position])

    def content(self, position: int) -> bytes:
        return self.path(position).read_bytes()


@dataclass(eq=False)
class ArrowSource(Encoded):
    """Encoded images in a data set of the `datasets` package, mapped from disk."""

    dataset: Any  # datasets.Dataset whose image column is not decoded
    column: str
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.dataset)

    def file(self, position: int) -> BytesIO:
        return BytesIO(self.content(position))

    def read(self, position: int, channels: int) -> Image.Image:
        return open_image(self.file(position), channels, self.name(position), white=self.white)

    def size(self, position: int) -> tuple[int, int]:
        return image_size(self.file(position), self.name(position))

    def name(self, position: int) -> str:
        return f"row {position}"

    def content(self, position: int) -> bytes:
        image = self.dataset[position][self.column]
        if image is None:
            raise BadImage(f"{self.name(position)}: no image.")
        if image["bytes"]:
            return bytes(image["bytes"])
        if not image["path"]:
            raise BadImage(f"{self.name(position)}: an empty file.")
        try:
            with open_regular(Path(image["path"])) as stored:
                return stored.read()
        except OSError as fault:
            message = f"{self.name(position)}: {image['path']}: {fault.strerror}."
            raise UnreachableImage(message) from None


@dataclass(eq=False)
class Contents(Generic[S]):
    """All that a kind of data set must say; the rest is the same for every kind.

    `sources` has "train" at least; "val" and "test" where the set comes with them. There are no
    `class_names` where each sample has a text instead. `unused` are positions of samples, by
    source, that are in no split; `groups` name what each sample of a source belongs to, so that
    what is set aside of train are whole groups. `faults` are what is wrong in what there is to
    read, `warnings` what is odd, or left out, and what became of it.

    Of images: `mean` and `std` are per channel, as fractions of white; what is None or empty here
    is for the user to say. `image_size` is None where images differ or nobody has looked.
    """

    sources: Mapping[str, S]
    _: KW_ONLY
    class_names: tuple[str, ...] = ()
    class_ids: tuple[int, ...] = ()  # the numbers that the data's own files give the classes
    is_thing: tuple[bool, ...] = ()  # of each class, where there is stuff beside things
    multi_label: bool = False
    channels: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None
    origin: dict[str, str] = field(default_factory=dict)  # split → where it is from, in words
    unused: dict[str, np.ndarray] = field(default_factory=dict)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def common_size(source: Source, looked_at: int = 64) -> tuple[int, int]:
    """Height and width of the images, from the headers of some, evenly spread.

    Those that cannot be read are passed over, for the check to name. Raises ValueError where the
    sizes differ, since then somebody has to choose, and BadImage where not one can be read.
    """
    if not len(source):
        raise ValueError("train holds no image.")
    positions = np.linspace(0, len(source) - 1, min(looked_at, len(source))).round().astype(int)
    sizes: set[tuple[int, int]] = set()
    fault = None
    for position in positions.tolist():
        try:
            sizes.add(source.size(position))
        except BadImage as bad:
            fault = bad
    if not sizes and fault is not None:
        raise fault
    if len(sizes) == 1:
        return sizes.pop()
    shown = ", ".join(f"{height}×{width}" for height, width in sorted(sizes)[:3])
    raise ValueError(
        f"the images are of {len(sizes)} sizes, such as {shown} pixels; choose one: "
        "data.image_size=224, or data.image_size=[HEIGHT,WIDTH]."
    )
