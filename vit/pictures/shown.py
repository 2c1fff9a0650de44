"""Inputs with what a trained run says of each, for a notebook or a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vit.data.core.images import eight_bit
from vit.facts import AnyFacts
from vit.faults import Fault, Refused
from vit.pictures.answers import with_objects
from vit.pictures.drawing import SMALLEST, coloured, legend
from vit.pictures.nothing_found import nothing_found
from vit.pictures.sheets import page
from vit.runs.writing import write_text
from vit.terminal import in_html, printable

LARGEST = 480  # pixels of the longer side of a picture in a notebook
MOST_CLASSES = 3
MOST_OF_TEXT = 5_000  # letters, of a text or of what is said of one
NAMED = ("path", "input")  # keys of a row that name its input
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<title>Predictions</title></head>
<body style="font: 15px/1.45 system-ui, sans-serif">{body}</body></html>
"""


@dataclass(frozen=True)
class Shown:
    """Inputs and what a run says of each; a notebook shows it where it is a cell's last value.

    Of each input its `names` (a file, or the text itself), the `captions`, and of images and
    sounds the `pictures`, of Pillow, at most 480 pixels wide or high. `legend` says which colour
    is which class, of maps of classes. `left` is the number of inputs beyond those shown, `hint`
    what to do where the threshold hides all objects of some.
    """

    names: tuple[str, ...]
    captions: tuple[str, ...]
    pictures: tuple[Image.Image, ...] = ()
    legend: Image.Image | None = None
    left: int = 0
    hint: str = ""

    def __len__(self) -> int:
        return len(self.captions)

    def __repr__(self) -> str:
        lines = [f"{a}  →  {b}" for a, b in zip(self.names, self.captions, strict=True)]
        return printable("\n".join([*lines, *self._rest()]))

    def sheet(self) -> Image.Image:
        """All pictures on one, each over its caption and its name. Raises Refused for texts."""
        if not self.pictures:
            raise Refused([Fault("sheet", "is of pictures, and these are texts: print them")])
        captions = list(zip(self.captions, self.names, strict=True))
        width, height = (max(sides) for sides in zip(*(p.size for p in self.pictures), strict=True))
        sheet = page([_framed(each, width, height) for each in self.pictures], captions)
        if self.legend is None:
            return sheet
        size = max(sheet.width, self.legend.width), sheet.height + self.legend.height
        whole = Image.new("RGB", size, "white")
        whole.paste(sheet, (0, 0))
        whole.paste(self.legend, (0, sheet.height))
        return whole

    def save(self, path: str | Path) -> Path:
        """Into one file: .html, which needs no other, or the `sheet` as .png, .jpg or .webp."""
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in (".html", ".htm", *PICTURES):
            wanted = f"wanted a name that ends in .html, {', '.join(PICTURES)}"
            raise Refused([Fault("save", f"got {file}; {wanted}")])
        try:
            if suffix in PICTURES:
                sheet, encoded = self.sheet(), io.BytesIO()
                sheet.save(encoded, Image.registered_extensions()[suffix])
                file.write_bytes(encoded.getvalue())
            else:
                write_text(file, PAGE.format(body=self._repr_html_()))
        except OSError as error:
            raise Refused([Fault(str(file), f"cannot be written: {error.strerror}")]) from error
        return file

    def _repr_html_(self) -> str:
        rest = "".join(f"<p>{in_html(line)}</p>" for line in self._rest())
        if not self.pictures:
            rows = "".join(
                f"<tr>{_cell(name)}{_cell(caption)}</tr>"
                for name, caption in zip(self.names, self.captions, strict=True)
            )
            return f"<table>{rows}</table>{rest}"
        figures = "".join(map(_figure, self.pictures, self.captions, self.names))
        colours = "" if self.legend is None else f"<p>{_img(self.legend)}</p>"
        place = "display:flex;flex-wrap:wrap;gap:1em;align-items:flex-end"
        return f'<div style="{place}">{figures}</div>{colours}{rest}'

    def _rest(self) -> list[str]:
        more = [f"and {self.left:,} more"] if self.left else []
        return [*more, self.hint] if self.hint else more


def shown(
    rows: Iterable[dict[str, Any]],
    inputs: Sequence[Any],
    names: Sequence[str],
    facts: AnyFacts,
    *,
    threshold: float,
    left: int = 0,
) -> Shown:
    """What a task says (`rows`) of Pillow images or texts, objects from `threshold` on."""
    captions, pictures, maps = [], [], False
    hidden: list[float] = []  # of inputs in which nothing is shown the highest score, or -1
    white = getattr(facts, "white", None)
    for row, given in zip(rows, inputs, strict=True):
        if "objects" in row:
            certain = [found for found in row["objects"] if found["score"] >= threshold]
            if not certain:
                hidden.append(max((found["score"] for found in row["objects"]), default=-1.0))
            row = {**row, "objects": certain}
        maps = maps or "class_map" in row
        captions.append(caption(row))
        pictures += [drawn(given, row, white)] if isinstance(given, Image.Image) else []
    colours = legend(facts.class_names) if maps else None
    hint = ""
    if hidden:
        highest = max(hidden) if max(hidden) >= 0 else None
        hint = nothing_found(len(hidden), len(captions), highest, threshold, "threshold=")
    return Shown(tuple(names), tuple(captions), tuple(pictures), colours, left, hint)


def caption(row: dict[str, Any]) -> str:
    """What a task says of one input, in a line; what is not a shipped task's by its own names."""
    if "classes" in row:
        likely = [f"{each['class']} {each['probability']:.1%}" for each in row["classes"]]
        return ", ".join(likely[:MOST_CLASSES])
    if "objects" in row:
        count = len(row["objects"])
        return f"{count} object{'' if count == 1 else 's'}"
    if "shares" in row:
        return ", ".join(f"{name} {share:.1%}" for name, share in row["shares"].items())
    if "text" in row:
        return str(row["text"])
    values = {name: value for name, value in row.items() if name not in NAMED}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def drawn(image: Image.Image, row: dict[str, Any], white: float | None = None) -> Image.Image:
    """The image, its longer side 320 to 480 pixels, with boxes, masks or classes of `row`."""
    scale = max(image.size) / min(max(max(image.size), SMALLEST), LARGEST)
    size = tuple(max(1, round(side / scale)) for side in image.size)
    way = Image.Resampling.NEAREST if scale < 1 else Image.Resampling.BOX
    picture = eight_bit(image, 3, white).resize((size[0], size[1]), way)
    if "class_map" in row:
        classes = Image.fromarray(row["class_map"]).resize(picture.size, Image.Resampling.NEAREST)
        return coloured(picture, torch.from_numpy(np.array(classes)))
    return with_objects(picture, row["objects"], scale) if row.get("objects") else picture


def _framed(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture on white, above its caption, so that all of a sheet are of one size."""
    whole = Image.new("RGB", (width, height), "white")
    whole.paste(picture, ((width - picture.width) // 2, height - picture.height))
    return whole


def _figure(picture: Image.Image, caption: str, name: str) -> str:
    words = (
        f"<b>{in_html(caption)}</b><br>{in_html(name)}" if name else f"<b>{in_html(caption)}</b>"
    )
    under = f"max-width:{picture.width}px;overflow-wrap:anywhere"
    return (
        f'<figure style="margin:0">{_img(picture)}'
        f'<figcaption style="{under}">{words}</figcaption></figure>'
    )


def _img(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _cell(text: str) -> str:
    return f'<td style="text-align:left">{in_html(text, MOST_OF_TEXT)}</td>'
