"""What the model is shown: a sheet of prepared images, each with its target and its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vit.data.core.sampling import EpochSampler, Key
from vit.data.formats.tokenizing import Tokenizer
from vit.data.kinds.base import ImageData
from vit.data.kinds.detection_transforms import corners
from vit.facts import CaptionFacts, Facts
from vit.pictures.drawing import annotated, coloured
from vit.structures import IGNORED, Batch, CaptionBatch, DetectionBatch, SegmentationBatch
from vit.terminal import one_line

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CELL = 128  # pixels an image is enlarged to at least, in whole steps so that pixels stay square
FONT_SIZE = 12
GAP = 6
MOST_LETTERS = 400  # of a caption
WIDER = 1.6  # than high, as screens are


def sample_sheet(data: ImageData, split: str, count: int) -> Image.Image:
    """`count` images of a split: for train as the first epoch shows them, else evenly spread."""
    training = split == "train"
    dataset: Any = data.dataset(split, training=training)
    count = min(count, data.lengths[split])
    if training:
        sampler = data.loader("train").batch_sampler
        assert isinstance(sampler, EpochSampler)
        chosen = sampler.order(0)[:count]
    else:
        chosen = np.linspace(0, data.lengths[split] - 1, count).round()
    batch = dataset.__getitems__([Key(0, int(sample)) for sample in chosen])
    facts = data.facts
    pictures = shown(batch.images, facts.mean, facts.std)
    if isinstance(batch, DetectionBatch):
        pictures = _with_objects(pictures, batch, facts)
        labels = [
            f"{number} objects" if number != 1 else "1 object" for number in batch.objects.counts
        ]
    elif isinstance(batch, SegmentationBatch):
        maps = batch.labels.unbind()
        pictures = [coloured(one, found) for one, found in zip(pictures, maps, strict=True)]
        labels = [
            ", ".join(
                facts.class_names[number] for number in found.unique().tolist() if number != IGNORED
            )
            or "no class"
            for found in maps
        ]
    elif isinstance(batch, CaptionBatch) and isinstance(facts, CaptionFacts):
        labels = Tokenizer(facts.tokenizer).decode(batch.targets.tolist())
    else:
        labels = _labels(batch, facts)
    names = [data.sample_name(split, sample) for sample in batch.index.tolist()]
    return page(pictures, list(zip(labels, names, strict=True)))


def _labels(batch: Batch, facts: Facts) -> list[str]:
    if not facts.num_classes:
        return [""] * len(batch)
    if not facts.multi_label:
        return [facts.class_names[int(target)] for target in batch.targets]
    rows = batch.targets.tolist()
    named = [zip(facts.class_names, row, strict=True) for row in rows]
    return [", ".join(name for name, on in row if on) or "no label" for row in named]


def _with_objects(
    pictures: list[Image.Image], batch: DetectionBatch, facts: Facts
) -> list[Image.Image]:
    """The pictures with the boxes, and the masks where there are any, that training is given."""
    objects, size = batch.objects, (batch.images.shape[2], batch.images.shape[3])
    each = [objects.labels, corners(objects.boxes_cxcywh, size)]
    labels, boxes = (values.split(list(objects.counts)) for values in each)
    masks = [None] * len(pictures)
    if objects.masks is not None:
        masks = list(objects.masks.split(list(objects.counts)))
    return [
        annotated(
            picture,
            boxes[at],
            labels[at].tolist(),
            [facts.class_names[label] for label in labels[at].tolist()],
            masks[at],
        )
        for at, picture in enumerate(pictures)
    ]


def shown(
    images: Float[Tensor, "batch channels height width"],
    mean: Sequence[float],
    std: Sequence[float],
) -> list[Image.Image]:
    """Normalised images as people see them, in RGB."""
    scale = torch.tensor(std).view(1, -1, 1, 1)
    shift = torch.tensor(mean).view(1, -1, 1, 1)
    values = ((images * scale + shift) * 255).round().clamp(0, 255).byte()
    in_rgb = values.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous().numpy()
    return [Image.fromarray(image) for image in in_rgb]


def page(pictures: Sequence[Image.Image], captions: Sequence[tuple[str, str]]) -> Image.Image:
    """Pictures of one size in rows, each over two lines of caption."""
    width, height = pictures[0].size
    enlarged = max(1, math.ceil(CELL / max(height, width)))
    cell_width = max(width * enlarged, CELL) + GAP
    cell_height = height * enlarged + 2 * (FONT_SIZE + 3) + GAP
    columns = max(1, round(math.sqrt(len(captions) * WIDER * cell_height / cell_width)))
    rows = math.ceil(len(captions) / columns)
    whole = Image.new("RGB", (columns * cell_width + GAP, rows * cell_height + GAP), "white")
    draw = ImageDraw.Draw(whole)
    font = ImageFont.load_default(FONT_SIZE)
    for place, (picture, lines) in enumerate(zip(pictures, captions, strict=True)):
        left = GAP + place % columns * cell_width
        top = GAP + place // columns * cell_height
        size = (width * enlarged, height * enlarged)
        whole.paste(picture.resize(size, Image.Resampling.NEAREST), (left, top))
        for line, (text, colour) in enumerate(zip(lines, ("black", "grey"), strict=True)):
            fitted = _shortened(text, cell_width - GAP, font, keep_end=line == 1)
            below = top + size[1] + 1 + line * (FONT_SIZE + 3)
            draw.text((left, below), fitted, colour, font)
    return whole


def _ends(text: str, keep_end: bool) -> str:
    """In a single line of plain letters, no more of a long text than a cell could ever show."""
    return one_line(text[-MOST_LETTERS:] if keep_end else text[:MOST_LETTERS], MOST_LETTERS)


def _shortened(text: str, width: int, font: Font, keep_end: bool) -> str:
    """The text, or as much of its beginning or its end as has room, with dots for the rest."""
    text = _ends(text, keep_end)
    if font.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        part = "…" + text[-length:] if keep_end else text[:length] + "…"
        if font.getlength(part) <= width:
            return part
    return "…"
