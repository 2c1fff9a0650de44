"""Outlines of objects as COCO writes them, and the masks that they mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from vit.structures import RunLengths

LONGEST_COUNT = 60  # bits
FAR = 10  # times the longer side of an image: no polygon is drawn beyond that
LINE = 1e-6  # pixels by which points may leave one line, as rounding makes them, and span no area


@dataclass(eq=False)
class Segments:
    """The outline of each object as the text it had, all in one array of bytes."""

    text: np.ndarray  # [bytes], uint8
    ends: np.ndarray  # [objects], int64: where each one's text ends

    @classmethod
    def packed(cls, outlines: list[Any]) -> Segments:
        """From decoded JSON: polygons, run lengths, or None where there is nothing."""
        texts = [json.dumps(outline).encode() for outline in outlines]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8), ends)

    def of(self, first: int, last: int) -> list[Any]:
        """The outlines of the objects from `first` to before `last`."""
        begins = [0 if at == 0 else int(self.ends[at - 1]) for at in range(first, last)]
        ends = self.ends[first:last].tolist()
        return [
            json.loads(self.text[begin:end].tobytes())
            for begin, end in zip(begins, ends, strict=True)
        ]


def decoded(outline: Any, height: int, width: int) -> np.ndarray:
    """The mask, [height, width], bool, of COCO's polygons or of either of its run lengths.

    Polygons are lists of x, y, x, y, …; run lengths {"counts": […] or text, "size": [h, w]}.
    No outline (None or an empty list) is an empty mask. Expects what `outline_fault` passes.
    """
    from faster_coco_eval import mask as coco  # costs a quarter second to import

    return coco.decode(_runs(outline, height, width)).astype(bool)


def area(outline: Any, height: int, width: int) -> float:
    """The square pixels of what `decoded` gives, without decoding it."""
    from faster_coco_eval import mask as coco

    return float(coco.area(_runs(outline, height, width)))


def without_area(outline: Any, height: int, width: int) -> bool:
    """Whether all points of every polygon lie on one line, or no run is of the object.

    Expects what `outline_fault` passes, and some outline. Polygons are not drawn: a sound one that
    is too small to hold the middle of a pixel has its area all the same.
    """
    if isinstance(outline, list):
        return all(map(_on_one_line, outline))
    if isinstance(outline["counts"], list):
        return not any(outline["counts"][1::2])
    return area(outline, height, width) == 0


def _on_one_line(polygon: list[Any]) -> bool:
    x, y, next_x, next_y, third_x, third_y, *_ = polygon
    if abs((next_x - x) * (third_y - y) - (next_y - y) * (third_x - x)) > 1:
        return False  # nearly every polygon, and a hundred thousand are asked one by one
    points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    away = points - points[0]
    lengths = np.hypot(*away.T)
    far = int(lengths.argmax())
    across = np.abs(away[:, 0] * away[far, 1] - away[:, 1] * away[far, 0])
    return bool(across.max() <= LINE * max(lengths[far], LINE))


def bounds(outline: Any, height: int) -> tuple[float, float, float, float]:
    """Corners x0, y0, x1, y1 of what an outline covers, in pixels.

    Expects what `outline_fault` passes, and not one `without_area`. Nothing is drawn: run lengths
    are of columns, and one that goes on in the next column has touched the top and the bottom.
    """
    if isinstance(outline, list):
        across = [value for polygon in outline for value in polygon[::2]]
        down = [value for polygon in outline for value in polygon[1::2]]
        left, top, right, bottom = min(across), min(down), max(across), max(down)
        return float(left), float(top), float(right), float(bottom)
    counts = outline["counts"]
    ends = np.cumsum(counts_of(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    ends = ends[: len(ends) // 2 * 2].reshape(-1, 2)  # [runs of the object, begin and end]
    begin, end = ends[ends[:, 1] > ends[:, 0]].T
    one_column = begin // height == (end - 1) // height
    top = np.where(one_column, begin % height, 0).min()
    bottom = np.where(one_column, (end - 1) % height + 1, height).max()
    left, right = begin[0] // height, (end[-1] - 1) // height + 1
    return float(left), float(top), float(right), float(bottom)


def _runs(outline: Any, height: int, width: int) -> RunLengths:
    from faster_coco_eval import mask as coco

    if not outline:
        return coco.encode(np.zeros((height, width), dtype=np.uint8, order="F"))
    if isinstance(outline, list):
        return coco.merge(coco.frPyObjects(outline, height, width))
    if isinstance(outline["counts"], list):
        return coco.frPyObjects(outline, height, width)
    return {"size": outline["size"], "counts": outline["counts"].encode()}


def outline_fault(outline: Any, height: int, width: int) -> str:
    """What is wrong with an outline as COCO's JSON has it; nothing where it can be decoded."""
    if not outline:
        return ""
    far = FAR * max(height, width)
    if isinstance(outline, list):
        for polygon in outline:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                return "a polygon that is no list of three or more x, y pairs"
            if not all(isinstance(value, int | float) for value in polygon):
                return "a polygon with something that is no number"
            # Also what is infinite, or no number: a comparison with it is false.
            if not all(-far <= value <= far for value in polygon):
                return f"a polygon with something beyond {far} pixels, or that is no number"
        return ""
    if not isinstance(outline, dict) or not isinstance(outline.get("counts"), list | str):
        return "neither polygons nor run lengths"
    size = outline.get("size")
    if size != [height, width] or not all(type(side) is int for side in size):
        return f"a mask of {outline.get('size')} pixels (height, width), not {[height, width]}"
    counts = outline["counts"]
    if isinstance(counts, str):
        counts = counts_of(counts)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        return "run lengths with something that is no count"
    if sum(counts) != height * width:
        return f"run lengths of {sum(counts)} pixels in an image of {height * width}"
    return ""


def counts_of(text: str) -> list[int]:
    """The run lengths that COCO's text means; one below 0 where it means none.

    Each letter holds five bits from 48 on, the lowest first, and a sixth that says that more
    follow; the highest of a number's bits is its sign. From the fourth number on they are
    differences to the last but one.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            return [-1]
        if shift > LONGEST_COUNT:
            return [-1]  # no image is so large, and numbers of a million bits take for ever
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return [-1] if shift else counts


def run_lengths(outline: Any, height: int, width: int) -> RunLengths:
    """An outline as COCO's compressed run lengths, such as JSON can hold."""
    return as_json(_runs(outline, height, width))


def run_lengths_of_mask(mask: np.ndarray) -> RunLengths:
    """A mask, [height, width], bool, as COCO's compressed run lengths, such as JSON can hold."""
    from faster_coco_eval import mask as coco

    return as_json(coco.encode(np.asfortranarray(mask, dtype=np.uint8)))


def as_json(runs: RunLengths) -> RunLengths:
    """Run lengths with text in the place of bytes, as COCO's files have them."""
    counts = runs["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in runs["size"]], "counts": text}
