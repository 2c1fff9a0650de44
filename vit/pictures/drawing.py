"""Boxes, masks and classes drawn on a picture, for people to look at."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from vit.structures import IGNORED
from vit.terminal import one_line

SMALLEST = 320  # pixels of the longer side; a smaller picture is enlarged so that words fit
MOST_OF_NAME = 60  # letters of a class
LEGEND = 12  # pixels of a swatch and of the letters beside it


def annotated(
    picture: Image.Image,
    boxes_xyxy: Float[Tensor, "objects 4"],
    classes: Sequence[int] = (),
    words: Sequence[str] = (),
    masks: Bool[Tensor, "objects height width"] | None = None,
    colours: Sequence[tuple[int, int, int]] | None = None,
) -> Image.Image:
    """The picture with a box and some words for each object.

    Its colour is that of its class, unless `colours` say otherwise.
    """
    scale = max(SMALLEST / max(picture.size), 1.0)
    if scale > 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.NEAREST)
    drawn = pil_to_tensor(picture.convert("RGB"))
    chosen = [colour(number) for number in classes] if colours is None else list(colours)
    if masks is not None and len(masks):
        grown = torch.nn.functional.interpolate(masks[None].float(), drawn.shape[-2:])[0] > 0.5
        drawn = draw_segmentation_masks(drawn, grown, alpha=0.45, colors=chosen)
    if len(boxes_xyxy):
        # torchvision draws no box that is turned round or has no area.
        boxes = (boxes_xyxy.float().cpu() * scale).clamp(min=0)
        boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        ink = [_ink_on(paper) for paper in chosen] if words else None
        drawn = draw_bounding_boxes(
            drawn,
            boxes,
            [one_line(each, MOST_OF_NAME) for each in words] or None,
            colors=chosen,
            width=2,
            label_colors=ink,
            fill_labels=bool(words),
        )
    return to_pil_image(drawn)


def coloured(picture: Image.Image, labels: Integer[Tensor, "height width"]) -> Image.Image:
    """The picture with each pixel tinted by its class; what is IGNORED is left as it is."""
    present = [number for number in labels.unique().tolist() if number != IGNORED]
    drawn = pil_to_tensor(picture.convert("RGB"))
    if not present:
        return to_pil_image(drawn)
    masks = torch.stack([labels == number for number in present])
    colours = [colour(number) for number in present]
    return to_pil_image(draw_segmentation_masks(drawn, masks, alpha=0.45, colors=colours))


def legend(names: Sequence[str]) -> Image.Image:
    """Which colour is which class, numbered from 0; SMALLEST pixels wide."""
    font = ImageFont.load_default(LEGEND)
    gap, row = LEGEND // 2, LEGEND + LEGEND // 2
    x, y, places = gap, gap, []
    names = [one_line(name, MOST_OF_NAME) for name in names]
    for name in names:
        taken = round(row + font.getlength(name)) + 2 * gap
        if x > gap and x + taken > SMALLEST:
            x, y = gap, y + row
        places.append((x, y))
        x += taken
    drawn = Image.new("RGB", (SMALLEST, y + row), "white")
    draw = ImageDraw.Draw(drawn)
    for number, (name, (left, top)) in enumerate(zip(names, places, strict=True)):
        draw.rectangle((left, top, left + LEGEND, top + LEGEND), fill=colour(number))
        draw.text((left + row, top + LEGEND / 2), name, "black", font, anchor="lm")
    return drawn


def _ink_on(paper: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is read more easily; luma as ITU-R BT.601 weighs it."""
    red, green, blue = paper
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else (255, 255, 255)


def colour(number: int) -> tuple[int, int, int]:
    """Far from those of the numbers next to it: steps of the golden angle round the circle."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
