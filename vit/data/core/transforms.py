"""How an image becomes numbers: one way for every evaluation, and for prediction after it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from vit.data.core.images import eight_bit

LONGEST = 20  # times as long as wide: beyond that no centre crop sees the ends


def pixels(images: list[Image.Image]) -> UInt8[Tensor, "batch channels height width"]:
    """Images of one size and mode as one tensor of bytes."""
    stacked = np.stack([np.asarray(image) for image in images])
    if stacked.ndim == 3:
        return torch.from_numpy(stacked).unsqueeze(1)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def normalised(
    images: UInt8[Tensor, "batch channels height width"],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Float[Tensor, "batch channels height width"]:
    """Bytes as fractions, less the mean, in units of the standard deviation, per channel."""
    scale = torch.tensor([255 * value for value in std]).view(1, -1, 1, 1)
    shift = torch.tensor([255 * value for value in mean]).view(1, -1, 1, 1)
    return images.contiguous().float().sub_(shift).div_(scale)


@dataclass(frozen=True)
class EvaluationTransform:
    """The one way in which an image is prepared for evaluation and prediction.

    Plain values only, so that `dataclasses.asdict` of it can travel in a checkpoint.
    `fit="crop"` scales the shorter side to image_size / crop_fraction and cuts out the centre;
    `fit="squash"` scales both sides to image_size, whatever the shape.
    """

    image_size: tuple[int, int]  # height, width in pixels
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_fraction: float = 1.0
    fit: str = "crop"
    white: float | None = None  # see vit.data.core.images.eight_bit

    def fitted(self, image: Image.Image) -> Image.Image:
        """The image at `image_size`, not yet a tensor."""
        height, width = self.image_size
        if self.fit == "squash" or (image.size == (width, height) and self.crop_fraction == 1):
            return _resized(image, height, width)
        image = _less_long(image)
        # Rounded down twice, as torchvision and timm do: pretrained weights expect it.
        fewest = [math.floor(side / self.crop_fraction) for side in self.image_size]
        scale = max(fewest[0] / image.height, fewest[1] / image.width)
        tall = max(math.floor(image.height * scale + 1e-6), height)
        wide = max(math.floor(image.width * scale + 1e-6), width)
        return center_crop(_resized(image, tall, wide), [height, width])

    def __call__(self, image: Image.Image) -> Float[Tensor, "channels height width"]:
        """Any Pillow image, of any mode and size, as the model wants it."""
        whole = self.fitted(eight_bit(image, self.channels, self.white))
        return normalised(pixels([whole]), self.mean, self.std)[0]


def _less_long(image: Image.Image) -> Image.Image:
    """The middle of an image that is very long, which scaled whole could fill all memory."""
    most = LONGEST * min(image.size)
    width, height = min(image.width, most), min(image.height, most)
    return center_crop(image, [height, width]) if image.size != (width, height) else image


def _resized(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)
