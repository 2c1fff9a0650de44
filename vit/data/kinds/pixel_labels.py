"""What is said of each pixel of a picture, and how torchvision's transforms are to resize it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as change


class PixelLabels(tv_tensors.Mask):
    """Values of an image's pixels that cannot be mixed, [any, height, width]: masks, classes.

    Resized, a pixel takes what lies at its centre. torchvision's own masks take what lies at the
    pixel's corner, and so shift against the picture by up to half a pixel (0.29).
    """


@change.register_kernel(change.resize, PixelLabels)
def _resize(labels: PixelLabels, size: Sequence[int], *_: Any, **__: Any) -> PixelLabels:
    return tv_tensors.wrap(resized(labels.as_subclass(Tensor), *size), like=labels)


@change.register_kernel(change.resized_crop, PixelLabels)
def _resized_crop(
    labels: PixelLabels,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Sequence[int],
    *_: Any,
    **__: Any,
) -> PixelLabels:
    part = labels.as_subclass(Tensor)[..., top : top + height, left : left + width]
    return tv_tensors.wrap(resized(part, *size), like=labels)


def resized(labels: Tensor, height: int, width: int) -> Tensor:
    """What lies at the centres of height x width pixels that cover the same picture."""
    rows = _centres(height, labels.shape[-2]).to(labels.device)
    columns = _centres(width, labels.shape[-1]).to(labels.device)
    return labels[..., rows[:, None], columns]


def _centres(count: int, among: int) -> Int[Tensor, " count"]:
    """In which of `among` pixels the centres of `count` lie that cover the same length."""
    return (2 * torch.arange(count) + 1) * among // (2 * count)
