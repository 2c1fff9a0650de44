"""Maps over pictures, and sheets of them with their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

CELL = 144  # pixels of a picture's longer side, about
GAP, LABEL = 6, 14
# From nothing to most: dark, blue, purple, orange, light yellow.
RAMP = np.array([[6, 8, 28], [40, 42, 130], [150, 40, 130], [245, 125, 40], [252, 250, 180]])
Cell = tuple[str, Image.Image | None]


def shown(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Image.Image:
    """What the model saw, [channels, height, width], as a picture near `CELL` pixels."""
    pixels = image.detach().cpu().float().permute(1, 2, 0).numpy()
    pixels = np.clip((pixels * np.array(std) + np.array(mean)) * 255, 0, 255).round()
    pixels = pixels.astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3])
    scale = CELL / max(picture.size)
    if scale >= 2:  # whole steps, so that pixels stay square
        scale = int(scale)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    way = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.BILINEAR
    return picture.convert("RGB").resize(size, way)


def heated(picture: Image.Image, values: Float[Tensor, "rows cols"]) -> Image.Image:
    """The picture in grey below the map, whose least value is dark and whose largest is light."""
    heat = values.detach().cpu().double().numpy()
    span = heat.max() - heat.min()
    heat = (heat - heat.min()) / span if span > 0 else np.zeros_like(heat)
    at = heat * (len(RAMP) - 1)
    colours = np.stack(
        [np.interp(at, np.arange(len(RAMP)), RAMP[:, channel]) for channel in range(3)], axis=-1
    )
    layer = Image.fromarray(colours.astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    return Image.blend(picture.convert("L").convert("RGB"), layer, 0.65)


def coloured(picture: Image.Image, colours: Float[Tensor, "rows cols 3"]) -> Image.Image:
    """Colours in [0, 1] as large as the picture."""
    layer = Image.fromarray((colours.cpu().numpy() * 255).astype(np.uint8))
    return layer.resize(picture.size, Image.Resampling.NEAREST)


def boxed(picture: Image.Image, box_cxcywh: Sequence[float]) -> Image.Image:
    """With a box in fractions of the picture."""
    x, y, w, h = box_cxcywh
    edges = [(x - w / 2), (y - h / 2), (x + w / 2), (y + h / 2)]
    scaled = [edge * picture.size[at % 2] for at, edge in enumerate(edges)]
    marked = picture.copy()
    ImageDraw.Draw(marked).rectangle(scaled, outline=(80, 255, 120), width=2)
    return marked


def dotted(
    picture: Image.Image, places: Float[Tensor, "points 2"], weights: Float[Tensor, " points"]
) -> Image.Image:
    """Points, (x, y) in fractions of the picture, larger and lighter for more weight."""
    marked = picture.convert("L").convert("RGB")
    draw = ImageDraw.Draw(marked)
    most = float(weights.max().clamp(min=1e-12))
    for at in weights.argsort().tolist():
        share = float(weights[at]) / most
        x, y = float(places[at, 0]) * picture.width, float(places[at, 1]) * picture.height
        reach = 1 + 3 * share
        colour = tuple(
            int(np.interp(share * 4, range(5), RAMP[:, channel])) for channel in range(3)
        )
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    return marked


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Pictures below their names, row by row; None leaves a place free."""
    font = ImageFont.load_default(11)
    sizes = [picture.size for row in rows for _, picture in row if picture is not None]
    wide, high = max(size[0] for size in sizes), max(size[1] for size in sizes)
    columns = max(len(row) for row in rows)
    size = (GAP + columns * (wide + GAP), GAP + len(rows) * (high + LABEL + GAP))
    whole = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(whole)
    for down, row in enumerate(rows):
        for across, (label, picture) in enumerate(row):
            x, y = GAP + across * (wide + GAP), GAP + down * (high + LABEL + GAP)
            draw.text((x, y), _fitting(label, font, wide), fill="black", font=font)
            if picture is not None:
                whole.paste(picture, (x, y + LABEL))
    return whole


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    # The font knows Latin letters.
    text = text.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1]
    return text
