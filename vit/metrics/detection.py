"""COCO's average precision of boxes or masks, each image counted once over all processes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal

import numpy as np
import torch.distributed as dist

from vit.metrics.ranks import several_ranks

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
class Found:
    """What a detector says of some images: one row a detection, best or not.

    `image` is the position of the image in its split; boxes are in pixels of the original image.
    `masks` are run lengths as COCO writes them, where there are masks.
    """

    image: np.ndarray
    score: np.ndarray
    label: np.ndarray
    boxes_xyxy: np.ndarray
    masks: list[dict[str, Any]] = field(default_factory=list)

    def of(self, image: int) -> Found:
        """What was found in one image."""
        at = np.flatnonzero(self.image == image)
        masks = [self.masks[row] for row in at] if self.masks else []
        return Found(self.image[at], self.score[at], self.label[at], self.boxes_xyxy[at], masks)


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
        self._found: list[Found] = []
        self._images: list[int] = []

    def update(self, images: Sequence[int], found: Found) -> None:
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
        images, found = _of_all_ranks(self._images, self._found)
        told: list[Any] = [None]
        if not several_ranks() or dist.get_rank() == 0:
            told = [self._evaluated(truth, images, found)]
        if several_ranks():
            dist.broadcast_object_list(told, src=0)
        self._per_class, numbers = told[0]
        return numbers

    def tables(self) -> dict[str, list]:
        """AP of each class, as the last `compute` found it."""
        return {"classes": list(self.class_names), "class_ap": self._per_class}

    def _evaluated(
        self, truth: Mapping[str, Any], images: list[int], found: list[Found]
    ) -> tuple[list[float | None], dict[str, float]]:
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
        each = [_mean(precision[:, :, places[number], 0, 2]) for number in ids]
        return [None if math.isnan(value) else value for value in each], numbers

    def _annotations(self, found: list[Found], ids: list[int]) -> list[dict[str, Any]]:
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


_SIZES = tuple(enumerate(("small", "medium", "large"), 1))


def _mean(values: np.ndarray) -> float:
    """COCO marks by −1 what it could not measure."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else math.nan


def _area(mask: dict[str, Any]) -> float:
    from faster_coco_eval.core import mask as masks

    return float(masks.area(mask))


def _of_all_ranks(images: list[int], found: list[Found]) -> tuple[list[int], list[Found]]:
    if not several_ranks():
        return images, found
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, (images, found))
    return (
        [image for part, _ in gathered for image in part],
        [each for _, part in gathered for each in part],
    )


def _say_nothing(*_: object) -> None:
    return None
