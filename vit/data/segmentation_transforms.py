"""How a picture with a class map becomes what a model is shown, and how maps find back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as change

from vit.data.detection_transforms import DetectionTransform, Frame, Sample
from vit.structures import IGNORED


class ClassMap(tv_tensors.Mask):
    """The classes of an image's pixels, for torchvision's transforms: [1, height, width], uint8.

    Resized, a pixel takes the class that lies at its centre. torchvision's own masks take the one
    at the pixel's corner, and so shift against the picture by up to half a pixel (0.29).
    """


@change.register_kernel(change.resize, ClassMap)
def _resize(class_map: ClassMap, size: Sequence[int], *_: Any, **__: Any) -> ClassMap:
    return tv_tensors.wrap(_resized(class_map.as_subclass(Tensor), *size), like=class_map)


@change.register_kernel(change.resized_crop, ClassMap)
def _resized_crop(
    class_map: ClassMap,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Sequence[int],
    *_: Any,
    **__: Any,
) -> ClassMap:
    part = class_map.as_subclass(Tensor)[..., top : top + height, left : left + width]
    return tv_tensors.wrap(_resized(part, *size), like=class_map)


@dataclass(frozen=True)
class SegmentationTransform(DetectionTransform):
    """The one way in which a picture is prepared for evaluation and prediction.

    As for detection; what a map is filled up with is IGNORED.
    """

    @property
    def fills(self) -> dict[type | str, Any]:
        return {"others": self.fill, ClassMap: IGNORED}


def map_sample(image: Image.Image, class_map: np.ndarray) -> Sample:
    """A picture with its map, [height, width], in the form that torchvision's transforms take."""
    return {"image": image, "map": ClassMap(torch.from_numpy(class_map)[None])}


def map_to_original(
    class_map: Int[Tensor, "rows cols"], frame: Frame
) -> Int[Tensor, "height width"]:
    """A map of the model's image as one of the picture, without what was filled up."""
    (tall, wide), (top, left) = frame.scaled, frame.offset
    return _resized(class_map[top : top + tall, left : left + wide], *frame.original)


def _resized(class_map: Tensor, height: int, width: int) -> Tensor:
    rows = _centres(height, class_map.shape[-2]).to(class_map.device)
    columns = _centres(width, class_map.shape[-1]).to(class_map.device)
    return class_map[..., rows[:, None], columns]


def _centres(count: int, among: int) -> Int[Tensor, " count"]:
    """In which of `among` pixels the centres of `count` lie that cover the same length."""
    return (2 * torch.arange(count) + 1) * among // (2 * count)
