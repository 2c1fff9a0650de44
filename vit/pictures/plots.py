"""Small plots with Pillow alone: curves, bars of classes, a table of what was taken for what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vit.terminal import one_line

SIZE = (480, 340)  # pixels of a panel
FINER = 2  # drawn so many times as large, and shrunk: smooth edges
INK, GREY, LINE = "#1f2328", "#6e7781", "#d8dee4"
BLUE, PALE, ORANGE, GREEN = "#0969da", "#8c959f", "#bc4c00", "#1a7f37"
MOST_POINTS = 400  # of a curve
DOTS_BELOW = 40  # points of a curve, each of which is marked
LOG_ABOVE = 20.0  # largest by smallest value, from which a loss is drawn on a scale of powers
MOST_CELLS, MOST_NUMBERED = 24, 12  # classes of a matrix; with a number in each cell
MOST_BARS = 14

Number = float | int
Box = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Curve:
    """Values over epochs; neither need be finite or sorted by anybody but the caller."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    colour: str = BLUE
    ring: bool = False  # its points are rings, through which others are seen

    def points(self) -> NDArray[np.float64]:
        """[points, 2], the finite ones; of many the means of neighbours."""
        both = np.array([self.x, self.y], np.float64).T.reshape(-1, 2)
        both = both[np.isfinite(both).all(1)]
        if len(both) <= MOST_POINTS:
            return both
        return np.array([part.mean(0) for part in np.array_split(both, MOST_POINTS)])


@dataclass(frozen=True)
class Mark:
    """Where the selected checkpoint lies, and what stands above that."""

    x: Number
    words: str


class Panel:
    """One plot's sheet, larger than it will be shown, with its title."""

    def __init__(self, title: str) -> None:
        self.width, self.height = (FINER * edge for edge in SIZE)
        self.image = Image.new("RGB", (self.width, self.height), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.small = ImageFont.load_default(FINER * 13)
        self.text(FINER * 14, FINER * 18, title, INK, ImageFont.load_default(FINER * 16), "lm")

    def text(
        self,
        x: Number,
        y: Number,
        words: str,
        colour: str = GREY,
        font: object = None,
        at: str = "lm",
    ) -> None:
        self.draw.text((x, y), words, colour, font or self.small, anchor=at)  # type: ignore[arg-type]

    def fitted(self, words: str, width: Number) -> str:
        """A name in one line, as much of it as has room."""
        words = one_line(words)
        if self.small.getlength(words) <= width:
            return words
        while words and self.small.getlength(f"{words}…") > width:
            words = words[:-1]
        return f"{words}…"

    def finished(self) -> Image.Image:
        return self.image.reduce(FINER)


def curves(
    title: str, drawn: Sequence[Curve], mark: Mark | None, unit: str, last: Number = 0.0
) -> Image.Image:
    """Values over `unit` (epochs or steps) from 0 to `last` at least, the mark as a line across.

    Positive values that differ by far are drawn on a scale of powers of ten.
    """
    panel = Panel(title)
    box = (FINER * 62.0, FINER * 58.0, panel.width - FINER * 16.0, panel.height - FINER * 42.0)
    lines = [(curve, points) for curve in drawn if len(points := curve.points())]
    _legend(panel, [curve for curve, _ in lines])
    if not lines:
        panel.text(panel.width / 2, panel.height / 2, "nothing was recorded", at="mm")
        return panel.finished()
    everything = np.concatenate([points for _, points in lines])
    values = everything[:, 1]
    powers = bool(values.min() > 0 and values.max() / values.min() > LOG_ABOVE)
    low, high, ticks = _scale(values, powers)
    right = max(everything[:, 0].max(), mark.x if mark else 0.0, last, 1e-9)

    def across(x: Number) -> float:
        return box[0] + (box[2] - box[0]) * x / right

    def up(y: Number) -> float:
        y = math.log10(y) if powers else y
        return box[3] - (box[3] - box[1]) * (y - low) / (high - low)

    _grid(panel, box, list(zip(map(up, ticks), _numbers(ticks), strict=True)))
    below = _steps(0.0, right, 6, whole=True)
    for tick, words in zip(below, _numbers(below), strict=True):
        panel.text(across(tick), box[3] + FINER * 12, words, at="mm")
    panel.text((box[0] + box[2]) / 2, box[3] + FINER * 28, unit, at="mm")
    if mark is not None:
        _dashed(panel, across(mark.x), box)
        half = panel.small.getlength(mark.words) / 2
        middle = min(max(across(mark.x), box[0] + half), box[2] - half)
        panel.text(middle, box[1] - FINER * 10, mark.words, ORANGE, at="mm")
    for curve, points in lines:
        places = [(across(x), up(y)) for x, y in points.tolist()]
        if len(places) > 1:
            panel.draw.line(places, curve.colour, 2 * FINER, joint="curve")
        if len(places) < DOTS_BELOW:
            for place in places:
                if curve.ring:
                    panel.draw.circle(place, 4.5 * FINER, None, curve.colour, 2 * FINER)
                else:
                    panel.draw.circle(place, 2.6 * FINER, curve.colour)
    return panel.finished()


def bars(title: str, names: Sequence[str], values: Sequence[Number]) -> Image.Image:
    """Shares from 0 to 1; of many classes the lowest, which the title then says."""
    known = [pair for pair in zip(names, values, strict=True) if math.isfinite(pair[1])]
    if len(known) > MOST_BARS:
        title = f"{title}, the lowest {MOST_BARS} of {len(known):,}"
        known = sorted(known, key=lambda pair: pair[1])[:MOST_BARS]
    panel = Panel(title)
    labels = [panel.fitted(name, 0.36 * panel.width) for name, _ in known]
    left = FINER * 22 + max((panel.small.getlength(label) for label in labels), default=0)
    right, top = panel.width - FINER * 64, FINER * 42
    row = min((panel.height - FINER * 14 - top) / max(len(known), 1), FINER * 34)
    for at, (label, (_, value)) in enumerate(zip(labels, known, strict=True)):
        middle = top + (at + 0.5) * row
        half = 0.36 * row
        end = left + (right - left) * min(max(value, 0.0), 1.0)
        panel.text(left - FINER * 8, middle, label, INK, at="rm")
        panel.draw.rectangle((left, middle - half, right, middle + half), "#f3f5f7")
        panel.draw.rectangle((left, middle - half, max(end, left + 1), middle + half), BLUE)
        panel.text(right + FINER * 8, middle, f"{value:.0%}", INK)
    return panel.finished()


def matrix(title: str, names: Sequence[str], counts: NDArray[np.int64]) -> Image.Image:
    """Counts of true classes (rows) that were taken for classes (columns); shades are of a row."""
    panel = Panel(title)
    labels = [panel.fitted(name, 0.26 * panel.width) for name in names]
    widest = max(map(panel.small.getlength, labels))
    top, bottom = FINER * 58, panel.height - FINER * 12
    left = FINER * 34 + widest
    cell = min((bottom - top) / len(names), (panel.width - FINER * 14 - left) / len(names))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    font = ImageFont.load_default(min(FINER * 13, max(0.42 * cell, 6)))
    for row, column in np.ndindex(*counts.shape):
        x, y = left + column * cell, top + row * cell
        share = float(shares[row, column])
        panel.draw.rectangle(
            (x, y, x + cell - FINER, y + cell - FINER), _shade(share, row == column)
        )
        if len(names) <= MOST_NUMBERED and counts[row, column]:
            ink = "white" if share > 0.55 else INK
            number = f"{counts[row, column]}" if counts[row, column] < 10_000 else f"{share:.0%}"
            panel.text(x + cell / 2, y + cell / 2, number, ink, font, "mm")
    narrow = all(panel.small.getlength(label) < cell for label in labels)
    for at, label in enumerate(labels):
        panel.text(left - FINER * 6, top + (at + 0.5) * cell, label, INK, at="rm")
        if narrow:
            panel.text(left + (at + 0.5) * cell, top - FINER * 9, label, INK, at="mm")
    if not narrow:
        panel.text(left, top - FINER * 9, "taken for, in the same order")
    return panel.finished()


def beside(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels in a row."""
    whole = Image.new("RGB", (SIZE[0] * len(panels), SIZE[1]), "white")
    for at, panel in enumerate(panels):
        whole.paste(panel, (at * SIZE[0], 0))
    return whole


def _legend(panel: Panel, drawn: Sequence[Curve]) -> None:
    x = panel.width - FINER * 16.0
    for curve in reversed(drawn):
        panel.text(x, FINER * 18, curve.name, curve.colour, at="rm")
        x -= panel.small.getlength(curve.name) + FINER * 14


def _scale(values: NDArray[np.float64], powers: bool) -> tuple[float, float, list[float]]:
    """The lowest and highest place of an axis, logarithms with `powers`, and values to name."""
    least, most = float(values.min()), float(values.max())
    if powers:
        decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        named = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
        named = [tick for tick in named if least / 1.05 <= tick <= most * 1.05]
        named = named if len(named) <= 7 else [t for t in named if f"{t:e}"[0] == "1"]
        return math.log10(least) - 0.05, math.log10(most) + 0.05, named
    room = max(0.06 * (most - least), 0.05 * abs(most)) or 0.5  # no hills of a thousandth
    low = max(least - room, 0.0) if least >= 0 else least - room
    high = most + room
    return low, high, _steps(low, high, 5)


def _steps(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Round values between two others, at most about so many."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next((m * power for m in (1, 2, 5) if m * power >= rough), 10 * power)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _grid(panel: Panel, box: Box, rows: Sequence[tuple[float, str]]) -> None:
    for y, words in rows:
        panel.draw.line((box[0], y, box[2], y), LINE, FINER)
        panel.text(box[0] - FINER * 8, y, words, at="rm")
    panel.draw.line((box[0], box[3], box[2], box[3]), GREY, FINER)


def _dashed(panel: Panel, x: float, box: Box) -> None:
    dash = FINER * 5
    for top in range(round(box[1]), round(box[3]), 2 * dash):
        panel.draw.line((x, top, x, min(top + dash, box[3])), ORANGE, FINER)


def _numbers(values: Sequence[Number]) -> list[str]:
    """In as few digits as tell them apart: 1.2e-4 and 1.4e-4 are not both 1e-4."""
    for digits in range(8):
        words = [_number(value, digits) for value in values]
        if len(set(words)) == len(values):
            break
    return words


def _number(value: Number, more: int = 0) -> str:
    """A short number, with so many digits more than usual."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.{more}e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.{6 + more}g}" if abs(value) < 1e4 else f"{value:,.{more}f}"


def _shade(share: float, right: bool) -> tuple[int, int, int]:
    """From near white to blue where it is right, to orange where it is not."""
    full, empty = ((9, 105, 218) if right else (188, 76, 0)), (243, 245, 247)
    strength = share**0.6 if share > 0 else 0.0  # a few mistakes are to be seen
    red, green, blue = (round(e + (f - e) * strength) for e, f in zip(empty, full, strict=True))
    return red, green, blue
