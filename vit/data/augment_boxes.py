"""What training does to pictures with objects: torchvision's augmentations, as parts with settings.

Boxes and masks move with the pixels. As in augment.py, they draw from the global generators, which
the loader seeds for every sample. No `from __future__ import annotations`: signatures are the
schema.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torchvision.transforms.v2 import (
    InterpolationMode,
    RandomCrop,
    RandomHorizontalFlip,
    RandomPhotometricDistort,
    RandomResizedCrop,
    Resize,
)

from vit.data.kinds.detection_transforms import DetectionTransform, Sample

Change = Callable[[Sample], Sample]


class BoxAugmentation(ABC):
    """A way to change training pictures; evaluation's own framing is `prepare.letterbox`."""

    @abstractmethod
    def change(self, prepare: DetectionTransform) -> Change:
        """A function from a sample of any size to one of `prepare.image_size`."""


# Framings: which part of the picture is seen, and from where.


@dataclass(kw_only=True)
class NoBoxAugmentation(BoxAugmentation):
    """Training pictures framed as in evaluation."""

    def change(self, prepare: DetectionTransform) -> Change:
        return prepare.letterbox


@dataclass(kw_only=True)
class Flip(BoxAugmentation):
    """Mirrors some of the pictures; the framing itself is evaluation's."""

    flip: float = 0.5  # probability

    def __post_init__(self) -> None:
        _require_probability("flip", self.flip)

    def change(self, prepare: DetectionTransform) -> Change:
        mirror = RandomHorizontalFlip(self.flip)
        return lambda sample: mirror(prepare.letterbox(sample))


@dataclass(kw_only=True)
class ScaleJitter(BoxAugmentation):
    """Larger or smaller by a factor in `scale` than in evaluation, then cut or filled up, mirrored.

    Where the picture lies is drawn too.

    Source: Ghiasi et al. 2021, arXiv:2012.07177 (large scale jittering: 0.1 to 2).
    """

    scale: tuple[float, float] = (0.5, 1.5)
    flip: float = 0.5  # probability

    def __post_init__(self) -> None:
        _require_range("scale", self.scale)
        _require_probability("flip", self.flip)

    def change(self, prepare: DetectionTransform) -> Change:
        place = RandomCrop(prepare.image_size, pad_if_needed=True, fill=prepare.fills)
        mirror = RandomHorizontalFlip(self.flip)

        def jittered(sample: Sample) -> Sample:
            image = sample["image"]
            factor = float(torch.empty(()).uniform_(*self.scale))
            scaled = prepare.frame(image.height, image.width).scaled
            size = [max(round(side * factor), 1) for side in scaled]
            return mirror(place(Resize(size, InterpolationMode.BICUBIC)(sample)))

        return jittered


@dataclass(kw_only=True)
class BoxCrop(BoxAugmentation):
    """A random part of the picture, `scale` of its area and of aspect `ratio`, and mirrors some.

    What is left of an object at the edge stays, however little.
    """

    scale: tuple[float, float] = (0.3, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = 0.5  # probability

    def __post_init__(self) -> None:
        _require_range("scale", self.scale, most=1.0)
        _require_range("ratio", self.ratio)
        _require_probability("flip", self.flip)

    def change(self, prepare: DetectionTransform) -> Change:
        crop = RandomResizedCrop(
            prepare.image_size,
            scale=tuple(self.scale),
            ratio=tuple(self.ratio),
            interpolation=InterpolationMode.BICUBIC,
        )
        mirror = RandomHorizontalFlip(self.flip)
        return lambda sample: mirror(crop(sample))


# Colours: what the framed picture looks like.


@dataclass(kw_only=True)
class Photometric(BoxAugmentation):
    """Changes brightness, contrast, saturation and hue, each with probability `p`.

    Source: Liu et al. 2016, SSD, arXiv:1512.02325, as torchvision has it.
    """

    frame: BoxAugmentation = field(default_factory=ScaleJitter)
    p: float = 0.5

    def __post_init__(self) -> None:
        _require_probability("p", self.p)

    def change(self, prepare: DetectionTransform) -> Change:
        framed = self.frame.change(prepare)
        vary = RandomPhotometricDistort(p=self.p)
        return lambda sample: vary(framed(sample))


def _require_probability(key: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"data.augment_boxes.{key}={value}; wanted a probability, 0 to 1.")


def _require_range(key: str, value: tuple[float, float], most: float = float("inf")) -> None:
    if len(value) != 2 or not 0 < value[0] <= value[1] <= most:
        up_to = "" if most == float("inf") else f" <= {most:g}"
        raise ValueError(f"data.augment_boxes.{key}={list(value)}; wanted 0 < from <= to{up_to}.")
