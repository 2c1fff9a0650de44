"""The detection task: boxes with classes, answered by queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from vit.data.kinds.detection_loading import FramedBatch
from vit.data.kinds.detection_transforms import Letterbox
from vit.facts import Facts
from vit.losses.detection import SetCriterion, loss_of
from vit.losses.masks import NUM_POINTS
from vit.losses.weights import LossWeights, MatchingCosts
from vit.metrics.detection import DetectionMetrics, ImageDetections
from vit.metrics.panoptic import PanopticMetrics
from vit.models.detector import Detector
from vit.pictures.answers import for_tracker
from vit.runs.distributed import sum_dtype, sum_over_ranks
from vit.runs.mistake_gallery import Album
from vit.structures import DetectionBatch, Detections, PanopticMap, Stage
from vit.tasks.mistakes import Name, of_objects
from vit.tasks.panoptic import parted
from vit.tasks.postprocess import postprocess
from vit.tasks.queries import points_generator, tell_progress
from vit.tasks.specs.detection import DetectionSpec, metric_prefix
from vit.tasks.task import OptimizerPart, SchedulePart, Task

PICTURES = 8  # of the validation that are drawn


class Detection(Task):
    """Trains a model to find objects: where they are and what they are.

    Args:
        truth: of a split, what there is to find, as COCO's dictionary in pixels of the original
            pictures; image ids are positions in the split. Asked for once a split.
        picture, sample_name: an original picture to draw on and its name, by split and position.
        panoptic, is_thing: the segments of one, and which classes are things, where the data part
            each picture whole.
        class_loss: one of vit/losses/query_classes.py; "auto" is "cross_entropy" for heads whose
            classes share a softmax with "no object", and "ia_bce" for the others.
        alpha, gamma, no_object_weight: of the class loss; None its own.
        weight_…: of the losses of class, box (L1), generalised IoU, mask and dice.
        cost_…: of the same in matching queries with objects.
        num_points: at which masks are compared.
        max_detections: answers kept of an image, the best first; COCO counts 100.

    Each epoch of evaluation logs `loss`, the same however the images are batched (but of masks, see
    SetCriterion.weighed), and COCO's twelve numbers, `ap`, `ap50`, … (vit/metrics/detection.py):
    without those whose objects the data lack, as large ones. Of a head that answers with masks they
    are those of masks, `mask_ap`, `mask_ap50`, …, and with panoptic data `pq`, `sq` and `rq` join
    them: of all, of things, of stuff.

    Raises ValueError for a value out of its range.
    """

    spec = DetectionSpec

    def __init__(
        self,
        model: nn.Module,
        facts: Facts,
        optim: OptimizerPart,
        schedule: SchedulePart,
        seed: int,
        truth: Callable[[str], Mapping[str, Any]],
        compile: bool = False,
        picture: Callable[[str, int], Image.Image] | None = None,
        sample_name: Name | None = None,
        panoptic: Callable[[str, int], PanopticMap] | None = None,
        is_thing: tuple[bool, ...] = (),
        *,
        class_loss: Literal["auto", "ia_bce", "mal", "vfl", "focal", "cross_entropy"] = "auto",
        alpha: float | None = None,
        gamma: float | None = None,
        no_object_weight: float = 0.1,
        weight_class: float = 1.0,
        weight_box: float = 5.0,
        weight_giou: float = 2.0,
        weight_mask: float = 5.0,
        weight_dice: float = 5.0,
        cost_class: float = 2.0,
        cost_box: float = 5.0,
        cost_giou: float = 2.0,
        cost_mask: float = 5.0,
        cost_dice: float = 5.0,
        num_points: int = NUM_POINTS,
        max_detections: int = 100,
    ):
        super().__init__(model, facts, optim, schedule, seed, compile)
        if max_detections < 1:
            raise ValueError(f"task.max_detections={max_detections}; wanted 1 or more.")
        no_object = bool(getattr(getattr(model, "head", None), "no_object", False))
        if class_loss == "auto":
            class_loss = "cross_entropy" if no_object else "ia_bce"
        self.criterion = SetCriterion(
            class_loss=class_loss,
            alpha=alpha,
            gamma=gamma,
            no_object_weight=no_object_weight,
            weights=LossWeights(weight_class, weight_box, weight_giou, weight_mask, weight_dice),
            costs=MatchingCosts(cost_class, cost_box, cost_giou, cost_mask, cost_dice),
            num_points=num_points,
        )
        if isinstance(model, Detector):
            self.criterion.require_fit(no_object)
        self.max_detections = max_detections
        self.prefix = metric_prefix(model)
        self.metrics = DetectionMetrics(facts.class_names, "segm" if self.prefix else "bbox")
        self._truth, self._picture, self._name = truth, picture, sample_name
        self._panoptic = panoptic
        self.panoptic = None
        if panoptic is not None and self.prefix:
            self.panoptic = PanopticMetrics(facts.class_names, is_thing)
        self._known: dict[str, Mapping[str, Any]] = {}
        self._drawn: dict[int, ImageDetections] = {}

    def forward(self, images: Tensor) -> Detections:
        return self.model(images)

    def on_train_batch_start(self, batch: DetectionBatch, batch_idx: int) -> None:
        tell_progress(self)

    def training_step(self, batch: DetectionBatch, batch_idx: int) -> Tensor:
        detections = self.model(batch.images, batch.padding, batch.objects)
        generator = None
        if detections.answer.masks is not None:
            generator = points_generator(self, batch_idx, batch.images.device)
        losses = self.criterion(detections, batch.objects, generator)
        metrics = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.record(metrics, len(batch), batch.index)
        return losses["loss"]

    def reset_metrics(self) -> None:
        self.metrics.reset()
        if self.panoptic:
            self.panoptic.reset()
        self._drawn = {}
        self._weighed = torch.zeros(2, 2, dtype=torch.float64)  # of the losses

    def tables(self) -> dict[str, list]:
        return self.metrics.tables() | (self.panoptic.tables() if self.panoptic else {})

    def pictures(self) -> list[dict[str, Any]]:
        if self._picture is None:
            return []
        truth = self._known["val"]
        return [
            for_tracker(self._picture("val", image), image, found, truth)
            for image, found in sorted(self._drawn.items())
        ]

    def mistakes(self, split: str, most: int) -> Album | None:
        if self._picture is None or self._name is None:
            return None
        truth = self._known[split]
        return of_objects(self.metrics, truth, split, self._picture, self._name, most)

    def update_metrics(self, batch: FramedBatch, split: str) -> None:
        detections = self.model(batch.images, batch.padding)
        images = batch.index.tolist()
        found = postprocess(detections, self.model, images, batch.frames, self.max_detections)
        self.metrics.update(images, found)
        if self.panoptic:
            self._add_segments(detections.answer, images, batch.frames, split)
        losses = self.criterion(detections, batch.objects)
        self._weighed += self.criterion.weighed(losses, detections, batch.objects)
        for image in images:
            if image < PICTURES:
                self._drawn[image] = found.of(image)

    def _add_segments(
        self, answer: Stage, images: Sequence[int], frames: Sequence[Letterbox], split: str
    ) -> None:
        assert self.panoptic is not None and self._panoptic is not None
        is_thing = self.panoptic.is_thing
        self.panoptic.update(
            [parted(answer, at, frame, is_thing) for at, frame in enumerate(frames)],
            [self._panoptic(split, image) for image in images],
        )

    def compute_metrics(self, split: str) -> dict[str, float]:
        if split not in self._known:
            self._known[split] = self._truth(split)
        measured = self.metrics.compute(self._known[split])
        found = {f"{self.prefix}{name}": value for name, value in measured.items()}
        if self.panoptic:
            found |= self.panoptic.compute(self.device)
        weighed = self._weighed.to(self.device, sum_dtype(self.device))
        found["loss"] = loss_of(sum_over_ranks(weighed))
        # Not a number is what the data lack, as objects of a size.
        return {name: value for name, value in found.items() if not math.isnan(value)}
