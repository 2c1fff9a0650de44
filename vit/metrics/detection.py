"""COCO's average precision of boxes or masks, each image counted once over all processes."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal

import numpy as np
import torch.distributed as dist

from vit.runs.distributed import several_ranks
from vit.structures import RunLengths

NAMES = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)


@dataclass
class ImageDetections:
    """What a detector says of some images: one row a detection, best or not.

    `image` is the position of the image in its split; boxes are in pixels of the original image.
    `masks` are run lengths as COCO writes them, where there are masks.
    """

    image: np.ndarray
    score: np.ndarray
    label: np.ndarray
    boxes_xyxy: np.ndarray
    masks: list[RunLengths] = field(default_factory=list)

    def of(self, image: int) -> ImageDetections:
        """What was found in one image."""
        at = np.flatnonzero(self.image == image)
        masks = [self.masks[row] for row in at] if self.masks else []
        return ImageDetections(
            self.image[at], self.score[at], self.label[at], self.boxes_xyxy[at], masks
        )


class DetectionMetrics:
    """The twelve numbers of COCO, and AP of each class, from all detections of an evaluation.

    `compute` asks faster-coco-eval, whose numbers are pycocotools' own. Detections are kept on the
    CPU, at most `most` an image (COCO counts 100), and forgotten by `reset`.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        kind: Literal["bbox", "segm"] = "bbox",
        most: int = 100,
    ):
        self.class_names = tuple(class_names)
        self.kind = kind
        self.most = most
        self.names = NAMES
        self.reset()

    def reset(self) -> None:
        self._seen: tuple[list[int], list[ImageDetections]] = ([], [])
        self._found: list[ImageDetections] = []
        self._images: list[int] = []

    def update(self, images: Sequence[int], found: ImageDetections) -> None:
        """Adds what was found in these images, which are all that were looked at."""
        self._images += images
        self._found.append(found)

    def compute(self, truth: Mapping[str, Any]) -> dict[str, float]:
        """`ap`, `ap50`, …; NaN for a number whose objects the data lack, as no small ones.

        `truth` is COCO's own dictionary: images (their ids the positions in the split),
        categories (in the order of the classes, with any ids), annotations with area and iscrowd.
        Only the images seen are counted. Over several processes all must call it; each gets the
        same numbers, which the first works out.
        """
        images, found = self._seen = _of_all_ranks(self._images, self._found)
        box: list[Any] = [None]
        if not several_ranks() or dist.get_rank() == 0:
            with _garbage_left_alone():
                box = [self._evaluated(truth, images, found)]
        if several_ranks():
            dist.broadcast_object_list(box, src=0)
        self._tables, numbers = box[0]
        return numbers

    def tables(self) -> dict[str, list]:
        """What the last `compute` found of each class; None where it has no objects.

        `class_ap`, `class_ap50`; `class_score`, from which on its answers have the best F1 at an
        IoU of 0.5; and `precision` there, at the recalls 0, 0.01 … 1, interpolated as COCO does.
        """
        tables = {"classes": list(self.class_names), **self._tables}
        if len(self.class_names) > MOST_CURVES:
            del tables["precision"]
        return tables

    def best_scores(self) -> list[float]:
        """Of each class the score from which on an answer counts for people who look at it."""
        scores = self._tables["class_score"]
        return [DOUBTFUL if score is None else score for score in scores]

    def by_image(self) -> Iterator[tuple[int, ImageDetections]]:
        """What was found in each image of all ranks, by the last `compute`."""
        images, parts = self._seen
        own: dict[int, list[ImageDetections]] = {image: [] for image in images}
        for part in parts:
            for image in np.unique(part.image).tolist():
                own[image].append(part.of(image))
        for image in sorted(own):
            yield image, _together(own[image])

    def _evaluated(
        self, truth: Mapping[str, Any], images: list[int], found: list[ImageDetections]
    ) -> tuple[dict[str, list], dict[str, float]]:
        from faster_coco_eval import COCO, COCOeval_faster

        seen = set(images)
        wanted = {
            **truth,
            "images": [image for image in truth["images"] if image["id"] in seen],
            "annotations": [note for note in truth["annotations"] if note["image_id"] in seen],
        }
        ids = [category["id"] for category in truth["categories"]]
        answers = {**wanted, "annotations": self._annotations(found, ids)}
        evaluation = COCOeval_faster(
            COCO(wanted), COCO(answers), iouType=self.kind, print_function=_say_nothing
        )
        evaluation.params.maxDets = [1, 10, self.most]
        evaluation.evaluate()
        evaluation.accumulate()
        precision = np.asarray(evaluation.eval["precision"])  # [IoU, recall, class, area, most]
        recall = np.asarray(evaluation.eval["recall"])  # [IoU, class, area, most]
        numbers = {
            "ap": _mean(precision[:, :, :, 0, 2]),
            "ap50": _mean(precision[0, :, :, 0, 2]),
            "ap75": _mean(precision[5, :, :, 0, 2]),
            **{f"ap_{size}": _mean(precision[:, :, :, at, 2]) for at, size in _SIZES},
            **{f"ar{most}": _mean(recall[:, :, 0, at]) for at, most in enumerate((1, 10, 100))},
            **{f"ar_{size}": _mean(recall[:, :, at, 2]) for at, size in _SIZES},
        }
        places = {number: at for at, number in enumerate(evaluation.params.catIds)}  # sorted
        own = [places[number] for number in ids]
        at_half = precision[0, :, own, 0, 2]  # [class, recall]
        scores = np.asarray(evaluation.eval["scores"])[0, :, own, 0, 2]
        tables: dict[str, list] = {
            "class_ap": [_number(_mean(precision[:, :, place, 0, 2])) for place in own],
            "class_ap50": [_number(_mean(row)) for row in at_half],
            "class_score": [
                _best_score(row, column) for row, column in zip(at_half, scores, strict=True)
            ],
            "precision": [
                [round(float(value), 4) for value in row] if (row > -1).all() else None
                for row in at_half
            ],
        }
        return tables, numbers

    def _annotations(self, found: list[ImageDetections], ids: list[int]) -> list[dict[str, Any]]:
        """As COCO's own tools would have read them from a file of results."""
        notes: list[dict[str, Any]] = []
        for part in found:
            x1, y1, x2, y2 = part.boxes_xyxy.astype(np.float64).T
            boxes = np.stack([x1, y1, x2 - x1, y2 - y1], 1)
            rows = zip(
                part.image.tolist(),
                part.score.tolist(),
                part.label.tolist(),
                boxes.tolist(),
                (boxes[:, 2] * boxes[:, 3]).tolist(),
                part.masks or repeat(None, len(part.image)),
                strict=True,
            )
            for image, score, label, box, area, mask in rows:
                note = {
                    "id": len(notes) + 1,
                    "image_id": image,
                    "category_id": ids[label],
                    "score": score,
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                }
                if mask is not None:
                    note |= {"segmentation": mask, "area": _area(mask)}
                notes.append(note)
        return notes


RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
MOST_CURVES = 200  # classes; more would be no table to read
DOUBTFUL = 0.5  # of a class that was never found
_SIZES = tuple(enumerate(("small", "medium", "large"), 1))


def _mean(values: np.ndarray) -> float:
    """COCO marks by −1 what it could not measure."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _best_score(precision: np.ndarray, scores: np.ndarray) -> float | None:
    """The score at the largest F1 of a precision–recall curve; None where nothing was found."""
    f1 = 2 * precision * RECALLS / np.maximum(precision + RECALLS, 1e-12)
    best = int(f1.argmax())
    return float(scores[best]) if f1[best] > 0 else None


def _together(parts: list[ImageDetections]) -> ImageDetections:
    if not parts:
        nothing = np.zeros(0)
        return ImageDetections(nothing, nothing, np.zeros(0, np.int64), np.zeros((0, 4)))
    columns = ([part.image, part.score, part.label, part.boxes_xyxy] for part in parts)
    image, score, label, boxes = map(np.concatenate, zip(*columns, strict=True))
    return ImageDetections(image, score, label, boxes)


def _area(mask: RunLengths) -> float:
    from faster_coco_eval.core import mask as masks

    return float(masks.area(mask))


def _of_all_ranks(
    images: list[int], found: list[ImageDetections]
) -> tuple[list[int], list[ImageDetections]]:
    if not several_ranks():
        return images, found
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, (images, found))
    return (
        [image for part, _ in gathered for image in part],
        [each for _, part in gathered for each in part],
    )


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """Without Python's search for cycles, which goes through every detection again and again.

    Of 600,000 detections, whose dictionaries have no cycles, it took a quarter of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _say_nothing(*_: object) -> None:
    return None
