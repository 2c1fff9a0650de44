"""What the model is shown: a sheet of prepared images, each with its target and its name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vit.data.classification import ClassificationData
from vit.data.sampling import EpochSampler, Key

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CELL = 128  # pixels an image is enlarged to at least, in whole steps so that pixels stay square
FONT_SIZE = 12
GAP = 6
WIDER = 1.6  # than high, as screens are


def sample_sheet(data: ClassificationData, split: str, count: int) -> Image.Image:
    """`count` images of a split: for train as the first epoch shows them, else evenly spread."""
    training = split == "train"
    dataset = data.dataset(split, training=training)
    count = min(count, len(dataset))
    if training:
        sampler = data.loader("train").batch_sampler
        assert isinstance(sampler, EpochSampler)
        chosen = sampler.order(0)[:count]
    else:
        chosen = np.linspace(0, len(dataset) - 1, count).round()
    batch = dataset.__getitems__([Key(0, int(sample)) for sample in chosen])
    names = data.facts.class_names
    captions = []
    for target, sample in zip(batch.targets, batch.index.tolist(), strict=True):
        label = (
            ", ".join(name for name, on in zip(names, target.tolist(), strict=True) if on)
            if data.facts.multi_label
            else names[int(target)]
        )
        captions.append((label or "no label", data.sample_name(split, sample)))
    return sheet(batch.images, captions, data.facts.mean, data.facts.std)


def sheet(
    images: Float[Tensor, "batch channels height width"],
    captions: Sequence[tuple[str, str]],
    mean: Sequence[float],
    std: Sequence[float],
) -> Image.Image:
    """Normalised images in rows, each over two lines of caption."""
    scale = torch.tensor(std).view(1, -1, 1, 1)
    shift = torch.tensor(mean).view(1, -1, 1, 1)
    bytes_shown = ((images * scale + shift) * 255).round().clamp(0, 255).byte()
    height, width = images.shape[2:]
    enlarged = max(1, math.ceil(CELL / max(height, width)))
    cell_width = max(width * enlarged, CELL) + GAP
    cell_height = height * enlarged + 2 * (FONT_SIZE + 3) + GAP
    columns = max(1, round(math.sqrt(len(captions) * WIDER * cell_height / cell_width)))
    rows = math.ceil(len(captions) / columns)
    page = Image.new("RGB", (columns * cell_width + GAP, rows * cell_height + GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(FONT_SIZE)
    for place, (image, lines) in enumerate(zip(bytes_shown, captions, strict=True)):
        left = GAP + place % columns * cell_width
        top = GAP + place // columns * cell_height
        shown = image.permute(1, 2, 0).expand(-1, -1, 3).contiguous().numpy()
        size = (width * enlarged, height * enlarged)
        page.paste(Image.fromarray(shown).resize(size, Image.Resampling.NEAREST), (left, top))
        for line, (text, colour) in enumerate(zip(lines, ("black", "grey"), strict=True)):
            fitted = _shortened(text, cell_width - GAP, font, keep_end=line == 1)
            below = top + size[1] + 1 + line * (FONT_SIZE + 3)
            draw.text((left, below), fitted, colour, font)
    return page


def _shortened(text: str, width: int, font: Font, keep_end: bool) -> str:
    """The text, or as much of its beginning or its end as has room, with dots for the rest."""
    if font.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        part = "…" + text[-length:] if keep_end else text[:length] + "…"
        if font.getlength(part) <= width:
            return part
    return "…"
