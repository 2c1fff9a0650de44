"""How a picture with objects becomes what a detector is shown, and how boxes find back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode, Pad, Resize
from torchvision.transforms.v2 import functional as change

from vit.data.annotations.packed import ImageAnnotations
from vit.data.core.bilinear import Rows, enlarged, reach
from vit.data.core.images import eight_bit
from vit.data.core.transforms import normalised, pixels
from vit.data.kinds.pixel_labels import PixelLabels

SMALLEST = 0.1  # pixels of the model's image: nothing is seen of an object less wide or high

# A picture with its objects, as torchvision's transforms take it: "image" (Pillow), "boxes"
# (BoundingBoxes, XYXY), "labels", "shares" (of its box that an object fills), "masks"
# (PixelLabels) where there are any, and "seen" (Mask) where it is asked what was filled up.
Sample = dict[str, Any]


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies in the image that the model sees; all in pixels, height before width.

    The picture of size `original` was scaled to `scaled`, its top left corner at `offset` of an
    image of `image_size`; the rest was filled up.
    """

    original: tuple[int, int]
    image_size: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]

    def to_original(self, boxes_cxcywh: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
        """From fractions of the model's image to pixels of the picture: xyxy, clipped to it."""
        boxes = corners(boxes_cxcywh.float(), self.image_size)
        (height, width), (top, left) = self.original, self.offset
        grow = boxes.new_tensor([width / self.scaled[1], height / self.scaled[0]] * 2)
        most = boxes.new_tensor([width, height] * 2)
        return ((boxes - boxes.new_tensor([left, top] * 2)) * grow).clamp(min=0).minimum(most)

    def maps_to_original(self, maps: Float[Tensor, "n rows cols"]) -> Float[Tensor, "n h w"]:
        """Values on a grid over the model's image, at the pixels of the picture; bilinear."""
        return self.rows_to_original(maps, 0, self.original[0])

    def rows_to_original(
        self, maps: Float[Tensor, "n rows cols"], first: int, last: int
    ) -> Float[Tensor, "n some_rows w"]:
        """Rows `first` to before `last` of `maps_to_original`, the same bit for bit.

        The values of a pixel lie side by side in memory. Costs no more than these rows.
        """
        (top, left), (height, width) = self.offset, self.scaled
        begin, end = reach(height, self.original[0], first, last)
        grid = Rows(maps.float().permute(1, 2, 0).contiguous(), 0)
        whole = enlarged(grid, maps.shape[1], self.image_size, top + begin, top + end)
        cut = Rows(whole.values[:, left : left + width], begin)
        return enlarged(cut, height, self.original, first, last).values.permute(2, 0, 1)

    def filled(self) -> Bool[Tensor, "height width"]:
        """True at the pixels of the model's image that the picture does not cover."""
        (top, left), (height, width) = self.offset, self.scaled
        whole = torch.ones(self.image_size, dtype=torch.bool)
        whole[top : top + height, left : left + width] = False
        return whole


@dataclass(frozen=True)
class DetectionTransform:
    """The one way in which a picture is prepared for evaluation and prediction.

    Plain values only, so that `dataclasses.asdict` of it can travel in a checkpoint.
    `fit="letterbox"` keeps the shape and fills up with the mean colour, the picture in the middle;
    `fit="squash"` scales both sides, whatever the shape. Either depends on the one picture alone,
    so what is found in it does not change with the other pictures of a batch.
    """

    image_size: tuple[int, int]  # height, width in pixels
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str = "letterbox"
    white: float | None = None  # see vit.data.core.images.eight_bit

    def frame(self, height: int, width: int) -> Letterbox:
        """Where a picture of that size comes to lie."""
        tall, wide = self.image_size
        if self.fit == "squash":
            return Letterbox((height, width), self.image_size, self.image_size, (0, 0))
        scale = min(tall / height, wide / width)
        scaled = (max(round(height * scale), 1), max(round(width * scale), 1))
        offset = ((tall - scaled[0]) // 2, (wide - scaled[1]) // 2)
        return Letterbox((height, width), self.image_size, scaled, offset)

    def fitted(self, image: Image.Image) -> Image.Image:
        """The picture, 8-bit already, at `image_size`."""
        frame = self.frame(image.height, image.width)
        height, width = frame.scaled
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        if frame.scaled == self.image_size:
            return image
        whole = Image.new(image.mode, self.image_size[::-1], self.fill)
        whole.paste(image, frame.offset[::-1])
        return whole

    def letterbox(self, sample: Sample) -> Sample:
        """The same for a picture with its objects."""
        image = sample["image"]
        frame = self.frame(image.height, image.width)
        if (image.height, image.width) != frame.scaled:
            sample = Resize(list(frame.scaled), InterpolationMode.BICUBIC)(sample)
        (tall, wide), (height, width), (top, left) = self.image_size, frame.scaled, frame.offset
        if frame.scaled == self.image_size:
            return sample
        sides = [left, top, wide - width - left, tall - height - top]
        return Pad(sides, fill=self.fills)(sample)

    @property
    def fill(self) -> int | tuple[int, ...]:
        """The data's mean colour, as bytes: zero once normalised, or nearly."""
        colour = tuple(round(255 * value) for value in self.mean)
        return colour[0] if self.channels == 1 else colour

    @property
    def fills(self) -> dict[type | str, Any]:
        """What torchvision's transforms are to fill each kind of thing with."""
        # Not by Image.Image: an opened file is of a subclass, which they would fill with black.
        return {"others": self.fill, tv_tensors.Mask: 0, PixelLabels: 0}

    def __call__(self, image: Image.Image) -> Float[Tensor, "channels height width"]:
        """Any Pillow image, of any mode and size, as the model wants it."""
        whole = self.fitted(eight_bit(image, self.channels, self.white))
        return normalised(pixels([whole]), self.mean, self.std)[0]


def sample_of(image: Image.Image, marked: ImageAnnotations) -> Sample:
    """A picture with its objects in the form that torchvision's transforms take."""
    size = (image.height, image.width)
    sides = marked.boxes_xyxy[:, 2:] - marked.boxes_xyxy[:, :2]
    sample: Sample = {
        "image": image,
        "boxes": boxes_of(torch.from_numpy(marked.boxes_xyxy), size),
        "labels": torch.from_numpy(marked.labels),
        "shares": torch.from_numpy(marked.areas / np.maximum(sides.prod(axis=1), 1e-9)).float(),
    }
    if marked.masks is not None:
        sample["masks"] = PixelLabels(torch.from_numpy(marked.masks))
    return sample


def boxes_of(boxes_xyxy: Tensor, size: tuple[int, int]) -> tv_tensors.BoundingBoxes:
    rows = boxes_xyxy.float().reshape(-1, 4)  # torchvision makes (1, 0) of an empty list
    return tv_tensors.BoundingBoxes(rows, format="XYXY", canvas_size=size)


def sanitize(sample: Sample) -> Sample:
    """Boxes within the image, without the objects that have left it, and "areas" that are true.

    An area is that of the mask where there is one; else the share of the box that was filled
    before.
    """
    # Not torchvision's SanitizeBoundingBoxes: it drops whatever is less than a pixel wide, as
    # objects in a large picture that was scaled down well may be (torchvision 0.29).
    boxes = change.clamp_bounding_boxes(sample["boxes"], clamping_mode="hard")
    sides = boxes.as_subclass(Tensor)[:, 2:] - boxes.as_subclass(Tensor)[:, :2]
    keep = (sides >= SMALLEST).all(dim=1)
    masks = sample.get("masks")
    if masks is not None:
        keep &= masks.as_subclass(Tensor).flatten(1).any(dim=1)
    kept: Sample = {name: sample[name] for name in ("image", "seen") if name in sample}
    kept["boxes"] = tv_tensors.wrap(boxes[keep], like=boxes)
    for name in ("labels", "shares"):
        kept[name] = sample[name][keep]
    kept["areas"] = kept["shares"] * sides[keep].prod(dim=1)
    if masks is not None:
        kept["masks"] = tv_tensors.wrap(masks[keep], like=masks)
        kept["areas"] = kept["masks"].as_subclass(Tensor).flatten(1).sum(dim=1).float()
    return kept


def fractions(
    boxes_xyxy: Float[Tensor, "n 4"], image_size: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """From pixels to cxcywh in fractions of an image of that height and width."""
    height, width = image_size
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    pixels_cxcywh = torch.cat([(low + high) / 2, high - low], dim=1)
    return pixels_cxcywh / boxes_xyxy.new_tensor([width, height] * 2)


def corners(
    boxes_cxcywh: Float[Tensor, "n 4"], image_size: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """From cxcywh in fractions of an image of that height and width to xyxy in its pixels."""
    height, width = image_size
    centre, half = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] / 2
    both = torch.cat([centre - half, centre + half], dim=1)
    return both * boxes_cxcywh.new_tensor([width, height] * 2)
