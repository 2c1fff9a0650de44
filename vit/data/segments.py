"""Outlines of objects as COCO writes them, and the masks that they mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST_COUNT = 60  # bits
FAR = 10  # times the longer side of an image: no polygon is drawn beyond that


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


def _runs(outline: Any, height: int, width: int) -> dict[str, Any]:
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


def run_lengths(outline: Any, height: int, width: int) -> dict[str, Any]:
    """An outline as COCO's compressed run lengths, such as JSON can hold."""
    return _plain(_runs(outline, height, width))


def run_lengths_of_mask(mask: np.ndarray) -> dict[str, Any]:
    """A mask, [height, width], bool, as COCO's compressed run lengths, such as JSON can hold."""
    from faster_coco_eval import mask as coco

    return _plain(coco.encode(np.asfortranarray(mask, dtype=np.uint8)))


def _plain(runs: dict[str, Any]) -> dict[str, Any]:
    counts = runs["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in runs["size"]], "counts": text}
