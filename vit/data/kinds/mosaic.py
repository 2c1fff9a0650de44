"""Four pictures laid out as one, for more and smaller objects in an image."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from vit.data.kinds.detection_transforms import DetectionTransform, Sample, boxes_of
from vit.data.kinds.pixel_labels import PixelLabels


def mosaic(samples: list[Sample], prepare: DetectionTransform) -> Sample:
    """Four samples, two by two, each framed as in evaluation, as one of twice the height and width.

    What is trained on is cut from it, or it is scaled, by the augmentation that comes after.

    Source: Bochkovskiy et al. 2020, YOLOv4, arXiv:2004.10934.
    """
    height, width = prepare.image_size
    size = (2 * height, 2 * width)
    tiles = [prepare.letterbox(sample) for sample in samples]
    corners = [(0, 0), (0, width), (height, 0), (height, width)]  # top, left
    image = Image.new(tiles[0]["image"].mode, size[::-1], prepare.fill)
    boxes = []
    for tile, (top, left) in zip(tiles, corners, strict=True):
        image.paste(tile["image"], (left, top))
        boxes.append(tile["boxes"].as_subclass(Tensor) + torch.tensor([left, top] * 2))
    whole: Sample = {"image": image, "boxes": boxes_of(torch.cat(boxes), size)}
    for name in ("labels", "shares"):
        whole[name] = torch.cat([tile[name] for tile in tiles])
    if "masks" in tiles[0]:
        masks = torch.zeros(len(whole["labels"]), *size, dtype=torch.bool)
        first = 0
        for tile, (top, left) in zip(tiles, corners, strict=True):
            last = first + len(tile["labels"])
            masks[first:last, top : top + height, left : left + width] = tile["masks"]
            first = last
        whole["masks"] = PixelLabels(masks)
    if "seen" in tiles[0]:
        rows = [torch.cat([tiles[at]["seen"], tiles[at + 1]["seen"]], dim=2) for at in (0, 2)]
        whole["seen"] = tv_tensors.Mask(torch.cat(rows, dim=1))
    return whole
