"""What our average precision costs beyond faster-coco-eval alone, which works it out."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vit.bench.measure import Ratio, clock, interleaved, times_as_fast
from vit.metrics.detection import DetectionMetrics, ImageDetections

OURS, ALONE = "ours", "faster-coco-eval"
IMAGES_AT_ONCE = 8  # whose detections reach the metric together
OBJECTS = 7  # an image, as COCO has
SIDE = 640  # pixels


@dataclass
class Result:
    """Seconds of an evaluation each way, medians, and AP as each way finds it."""

    images: int
    detections: int  # an image
    classes: int
    rounds: int
    our_seconds: float
    alone_seconds: float
    times_as_long: Ratio  # ours over theirs, within each round
    our_ap: float
    alone_ap: float

    def as_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        return {**asdict(self), "times_as_long": self.times_as_long._asdict()}


def compare(
    *,
    images: int = 2000,
    detections: int = 300,
    classes: int = 80,
    rounds: int = 5,
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Evaluates the same made-up detections both ways, from where each has them.

    Ours begins with the arrays that a model's batches are decoded into; theirs with the rows of a
    file of results, in memory already.
    """
    truth, found = made_up(images, detections, classes)
    names = [category["name"] for category in truth["categories"]]
    rows = as_rows(found)
    numbers: dict[str, float] = {}

    def ours() -> None:
        metrics = DetectionMetrics(names)
        for part in found:
            metrics.update(np.unique(part.image).tolist(), part)
        numbers[OURS] = metrics.compute(truth)["ap"]

    def alone() -> None:
        numbers[ALONE] = alone_ap(truth, rows)

    seconds = interleaved(
        {OURS: ours, ALONE: alone}, rounds, clock("cpu", threads=1), warm_up=1, tell=tell
    )
    return Result(
        images=images,
        detections=detections,
        classes=classes,
        rounds=rounds,
        our_seconds=statistics.median(seconds[OURS]),
        alone_seconds=statistics.median(seconds[ALONE]),
        times_as_long=times_as_fast(seconds[ALONE], seconds[OURS]),
        our_ap=numbers[OURS],
        alone_ap=numbers[ALONE],
    )


def alone_ap(truth: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """AP as faster-coco-eval is used by itself."""
    from faster_coco_eval import COCO, COCOeval_faster

    known = COCO(truth)
    evaluation = COCOeval_faster(
        known, known.loadRes(rows), iouType="bbox", print_function=lambda *_: None
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def made_up(
    images: int, detections: int, classes: int
) -> tuple[dict[str, Any], list[ImageDetections]]:
    """Ground truth in COCO's form, and what a fair detector says of it: every third detection
    lies near an object of its class, the others anywhere."""
    draw = np.random.default_rng(0)
    count = images * OBJECTS
    size = draw.uniform(10, 200, (count, 2))
    corner = draw.uniform(0, SIDE - size)
    label = draw.integers(0, classes, count)
    truth = {
        "images": [{"id": image, "width": SIDE, "height": SIDE} for image in range(images)],
        "categories": [{"id": at + 1, "name": f"class {at}"} for at in range(classes)],
        "annotations": [
            {
                "id": at + 1,
                "image_id": at // OBJECTS,
                "category_id": int(label[at]) + 1,
                "bbox": [*corner[at].tolist(), *size[at].tolist()],
                "area": float(size[at].prod()),
                "iscrowd": 0,
            }
            for at in range(count)
        ],
    }
    found = []
    for first in range(0, images, IMAGES_AT_ONCE):
        image = np.repeat(np.arange(first, min(first + IMAGES_AT_ONCE, images)), detections)
        near = image * OBJECTS + draw.integers(0, OBJECTS, len(image))
        is_near = (draw.random(len(image)) < 1 / 3)[:, None]
        start = np.where(is_near, corner[near], draw.uniform(0, SIDE / 2, (len(image), 2)))
        start = start + draw.normal(0, 5, start.shape)
        sides = np.where(is_near, size[near], draw.uniform(10, 200, start.shape))
        found.append(
            ImageDetections(
                image,
                draw.random(len(image), dtype=np.float32) ** 2,
                np.where(is_near[:, 0], label[near], draw.integers(0, classes, len(image))),
                np.concatenate([start, start + sides], axis=1).astype(np.float32),
            )
        )
    return truth, found


def as_rows(found: list[ImageDetections]) -> list[dict[str, Any]]:
    """As a file of results has them."""
    return [
        {
            "image_id": image,
            "category_id": label + 1,
            "score": score,
            "bbox": [left, top, right - left, bottom - top],
        }
        for part in found
        for image, label, score, (left, top, right, bottom) in zip(
            part.image.tolist(),
            part.label.tolist(),
            part.score.tolist(),
            part.boxes_xyxy.astype(np.float64).tolist(),
            strict=True,
        )
    ]
