"""Which detections of an image hit, which are false, and which objects were missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

IOU = 0.5


@dataclass(frozen=True)
class Truth:
    """What there is to find in one image; a crowd is many objects that nobody marked one by one."""

    label: np.ndarray
    boxes_xyxy: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class Hits:
    """Of each detection whether it hit an object, or a crowd, which is no mistake; of each object
    whether it was found."""

    hit: np.ndarray
    in_crowd: np.ndarray
    found: np.ndarray

    def false(self) -> np.ndarray:
        return np.flatnonzero(~self.hit & ~self.in_crowd)

    def missed(self, truth: Truth) -> np.ndarray:
        return np.flatnonzero(~self.found & ~truth.crowd)

    def mistakes(self, truth: Truth) -> int:
        return len(self.false()) + len(self.missed(truth))


def truth_by_image(truth: Mapping[str, Any]) -> dict[int, Truth]:
    """From COCO's dictionary; labels count its categories in their order."""
    labels = {each["id"]: at for at, each in enumerate(truth["categories"])}
    notes: dict[int, list[Any]] = {}
    for note in truth["annotations"]:
        notes.setdefault(note["image_id"], []).append(note)
    return {image: _of_one(own, labels) for image, own in notes.items()}


NOTHING = Truth(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, bool))


def _of_one(notes: Sequence[Mapping[str, Any]], labels: Mapping[Any, int]) -> Truth:
    boxes = np.array([note["bbox"] for note in notes], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return Truth(
        np.array([labels[note["category_id"]] for note in notes], np.int64),
        boxes,
        np.array([bool(note.get("iscrowd", 0)) for note in notes]),
    )


def matched(boxes_xyxy: np.ndarray, score: np.ndarray, label: np.ndarray, truth: Truth) -> Hits:
    """As COCO's tools match: the surest first, each takes the free object of its class that it
    overlaps most, if by an IoU of a half; else it may fall into a crowd, by half of its own area.
    """
    hit, in_crowd = np.zeros(len(score), bool), np.zeros(len(score), bool)
    found = np.zeros(len(truth.label), bool)
    overlaps = iou(boxes_xyxy.astype(np.float64), truth.boxes_xyxy, truth.crowd)
    for at in np.argsort(-score, kind="stable"):
        own = truth.label == label[at]
        free = np.where(own & ~truth.crowd & ~found, overlaps[at], -1.0)
        if len(free) and free.max() >= IOU:
            found[len(free) - 1 - int(free[::-1].argmax())] = True  # of equal ones COCO's last
            hit[at] = True
        elif (overlaps[at][own & truth.crowd] >= IOU).any():
            in_crowd[at] = True
    return Hits(hit, in_crowd, found)


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """[n, m]; with a crowd the share of a's own area."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    both = (high - low).clip(min=0).prod(-1)
    of_a = (a_xyxy[:, 2:] - a_xyxy[:, :2]).clip(min=0).prod(-1)[:, None]
    of_b = (b_xyxy[:, 2:] - b_xyxy[:, :2]).clip(min=0).prod(-1)[None]
    whole = np.where(crowd[None], of_a, of_a + of_b - both)
    return both / np.maximum(whole, 1e-12)
