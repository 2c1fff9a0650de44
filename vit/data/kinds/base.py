"""The base of every kind of image data: facts, and what images need of keys.

No `from __future__ import annotations` here: signatures are the schema (see transforms.py).
"""

import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from vit.data.core.deep_images import agree_on_white, deep_warnings
from vit.data.core.frames import frame_warnings
from vit.data.core.images import BadImage
from vit.data.core.same_files import Repeats, same_bytes, same_paths
from vit.data.core.same_images import Copies, listed_twice
from vit.data.core.samples import SampleData
from vit.data.core.sources import Contents, Source, common_size
from vit.data.kinds import checks
from vit.data.kinds.label_checks import alike
from vit.facts import Facts
from vit.faults import Fault

P = TypeVar("P", bound=Source)


@dataclass(kw_only=True, eq=False)
class ImageData(SampleData[P], Generic[P]):
    """Images with what is known of them; see SampleData for the keys that all kinds have.

    Args:
        image_size: side in pixels, or (height, width); None where the set has one size itself.
        channels: 1 or 3; None as the set has.
        mean, std: per channel, as fractions of white; None as the set knows.
        on_bad_image: stop at an image that cannot be read, or leave it out and name it.
    """

    splits_are_published: ClassVar[bool] = False  # others' numbers are of these very splits

    image_size: int | tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    on_bad_image: Literal["error", "skip"] = "error"

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.image_size
        sides = size if isinstance(size, tuple) else (1 if size is None else size,)
        if min(sides) < 1:
            raise ValueError(
                f"data.image_size={self.image_size}; wanted a side or [height, width]."
            )
        for key in ("mean", "std"):
            values = getattr(self, key)
            if values is not None and len(values) not in (1, 3):
                raise ValueError(f"data.{key}={values}; wanted one value, or three for RGB.")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"data.std={self.std}; wanted values above 0.")

    @cached_property
    def contents(self) -> Contents[P]:
        contents = super().contents
        agree_on_white(contents.sources)
        return contents

    @cached_property
    def facts(self) -> Facts:
        """What models and losses must agree with; reads headers, not pixels."""
        contents = self.contents
        channels = self.channels or contents.channels
        mean, std = self.mean or contents.mean, self.std or contents.std
        if not (channels and mean and std):
            known = {"channels": channels, "mean": mean, "std": std}
            unsaid = " and ".join(f"data.{key}" for key, value in known.items() if not value)
            raise ValueError(
                f"this data set does not say {unsaid}; give it, as in data.channels=3 "
                "data.mean=[0.485,0.456,0.406] data.std=[0.229,0.224,0.225]."
            )
        return Facts(
            num_classes=len(contents.class_names),
            class_names=contents.class_names,
            image_size=self._image_size(),
            channels=channels,
            mean=_per_channel(mean, channels),
            std=_per_channel(std, channels),
            multi_label=contents.multi_label,
            class_ids=contents.class_ids,
            white=getattr(contents.sources["train"], "white", None),
        )

    def _image_size(self) -> tuple[int, int]:
        if isinstance(self.image_size, int):
            return self.image_size, self.image_size
        if self.image_size is not None:
            height, width = self.image_size
            return height, width
        return self.contents.image_size or common_size(self.contents.sources["train"])

    @cached_property
    def same_bytes(self) -> Repeats:
        """Images of files that are copies of others; a check may look less closely."""
        return same_bytes(self.contents.sources, self.splits)

    def _identity(self) -> Any:
        return [self.contents.class_names, self.contents.multi_label]

    def _add_to(self, digest: hashlib.blake2b, source: P, members: np.ndarray) -> None:
        """Labels, names and sizes of all images (sizes of 100,000 a split at most), and the stored
        bytes of 256 a split, evenly spread."""
        digest.update(np.ascontiguousarray(source.labels[members]).tobytes())
        checks.add_samples(digest, source, members)

    def _own_faults(self, full: bool) -> list[Fault]:
        return [
            *self._label_faults(),
            *self._empty_splits(),
            *self._repeated_images(full),
            *self._bad_images(full),
        ]

    def _without_facts(self, error: ValueError | OSError) -> list[Fault]:
        """Of an image that tells no size: the last of many, as where all names are wrong."""
        found = checks.bad_images(self.contents.sources) if isinstance(error, BadImage) else []
        return checks.summarize_faults(found, False) or super()._without_facts(error)

    def _label_faults(self) -> list[Fault]:
        """What is wrong with what is said of the images."""
        return []

    def _empty_splits(self) -> list[Fault]:
        return checks.empty_splits(self.contents, self.splits)

    def _repeated_images(self, full: bool) -> list[Fault]:
        """Images that stand twice by their path, or in two splits by their bytes."""
        contents = self.contents
        faults = listed_twice(same_paths(contents.sources), contents.sources, contents.origin)
        return faults or self._copied_images(full)

    def _copied_images(self, full: bool) -> list[Fault]:
        """Unless `full`, only where that costs little; a warning says where nobody looked."""
        known = vars(self).get("same_bytes")
        if known is None or (full and not known.looked):
            self.same_bytes = same_bytes(self.contents.sources, self.splits, sparing=not full)
        return self._copies().faults()

    def _copies(self) -> Copies:
        whose = self.unit, self.splits_are_published
        return Copies(self.contents, self.splits, self.same_bytes, *whose)

    def _bad_images(self, full: bool) -> list[Fault]:
        """Images that cannot be read: of a sample of them, or of all where `full`."""
        sources = self.contents.sources
        if self.on_bad_image == "skip":
            return checks.all_bad(sources["train"])
        return checks.summarize_faults(checks.bad_images(sources, full), full)

    def _own_warnings(self) -> list[str]:
        contents = self.contents
        checked = "same_bytes" in vars(self)
        return [
            *(self._copies().warnings() if checked else []),
            *alike(contents.class_names),
            *deep_warnings(contents.sources),
            *frame_warnings(contents.sources),
        ]

    @abstractmethod
    def transform_for(self, facts: Facts) -> Any:
        """From any Pillow image to the tensor [channels, height, width] that the model wants."""

    def describe(self) -> dict[str, Any]:
        """The splits as plain values: images, how many of each class, and where they are from."""
        description: dict[str, Any] = {}
        for split in self.splits:
            source = self.splits[split][0]
            counts = dict(zip(self.facts.class_names, self._counts(split).tolist(), strict=True))
            description[split] = {
                "images": self.lengths[split],
                "from": self.contents.origin.get(split, f"set aside from {source}"),
                "per_class": counts,
            }
        return description

    @abstractmethod
    def _counts(self, split: str) -> np.ndarray:
        """How many of each class a split holds."""


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return tuple(values)
    average = sum(values) / len(values)
    return (average,) * channels
