"""The task of semantic segmentation: a class for every pixel."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vit.data.kinds.segmentation_loading import FramedMaps
from vit.facts import Facts
from vit.losses.detection import SetCriterion, loss_of
from vit.losses.masks import NUM_POINTS
from vit.losses.weights import LossWeights, MatchingCosts
from vit.metrics.segmentation import SemanticMetrics
from vit.metrics.worst import Worst
from vit.runs.counted import PICTURES_OWN_SIZE
from vit.runs.distributed import sum_dtype, sum_over_ranks
from vit.runs.mistake_gallery import Album
from vit.structures import IGNORED, ClassMaps, Objects, SegmentationBatch
from vit.tasks.mistakes import Name, Picture, TrueLabels, keep_worst, of_pixels
from vit.tasks.pixel_classes import picture_classes
from vit.tasks.queries import points_generator, tell_progress
from vit.tasks.specs.segmentation import SegmentationSpec
from vit.tasks.task import OptimizerPart, SchedulePart, Task

MOST_PICTURES = 24  # kept of an evaluation


class Segmentation(Task):
    """Trains a model to tell the class of every pixel.

    A head that answers with maps of classes is trained by cross-entropy at the labels' resolution.
    One that answers with queries and masks (head=masks) is to have one query for each class that an
    image shows, and is trained by the criterion of detection; a pixel's class is then the one with
    the largest sum over queries of class probability times mask.

    Args:
        weight_class, weight_mask, weight_dice, no_object_weight, cost_…, num_points: of heads with
            queries, as in task=detection; the defaults are EoMT's.
        picture, published, sample_name: a picture to draw on, the labels that its pixels have,
            [height, width], and its name, by split and position.

    Each epoch of evaluation logs `miou` and `pixel_accuracy` of the pixels of the pictures: against
    the labels as they were published, whatever size the model sees, and for exactly the maps that
    `vit predict` writes (vit/tasks/pixel_classes.py). Every pixel counts, since what a picture is
    fitted by leaves none out, but for those labelled 255. `loss` is at the size that the model
    sees, as in training.
    """

    spec = SegmentationSpec
    counted = dict.fromkeys(SemanticMetrics.names, PICTURES_OWN_SIZE)

    def __init__(
        self,
        model: nn.Module,
        facts: Facts,
        optim: OptimizerPart,
        schedule: SchedulePart,
        seed: int,
        compile: bool = False,
        picture: Picture | None = None,
        published: TrueLabels | None = None,
        sample_name: Name | None = None,
        *,
        no_object_weight: float = 0.1,
        weight_class: float = 2.0,
        weight_mask: float = 5.0,
        weight_dice: float = 5.0,
        cost_class: float = 2.0,
        cost_mask: float = 5.0,
        cost_dice: float = 5.0,
        num_points: int = NUM_POINTS,
    ):
        super().__init__(model, facts, optim, schedule, seed, compile)
        self.criterion = SetCriterion(
            class_loss="cross_entropy",
            no_object_weight=no_object_weight,
            weights=LossWeights(class_=weight_class, mask=weight_mask, dice=weight_dice),
            costs=MatchingCosts(class_=cost_class, mask=cost_mask, dice=cost_dice),
            num_points=num_points,
        )
        self.metrics = SemanticMetrics(facts.class_names, IGNORED)
        self.worst = Worst(MOST_PICTURES)
        self._picture, self._published, self._name = picture, published, sample_name

    def forward(self, images: Tensor) -> Any:
        return self.model(images)

    def on_train_batch_start(self, batch: SegmentationBatch, batch_idx: int) -> None:
        tell_progress(self)

    def training_step(self, batch: SegmentationBatch, batch_idx: int) -> Tensor:
        output = self.model(batch.images)
        if isinstance(output, ClassMaps):
            total, count = pixel_loss(output, batch.labels)
            everywhere = sum_over_ranks(count).clamp(min=1)
            losses = {"loss": total * self.trainer.world_size / everywhere}
        else:
            generator = points_generator(self, batch_idx, batch.images.device)
            losses = self.criterion(output, objects_of(batch.labels), generator)
        metrics = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.record(metrics, len(batch), batch.index)
        return losses["loss"]

    def tables(self) -> dict[str, list]:
        return self.metrics.tables()

    def reset_metrics(self) -> None:
        self.metrics.reset()
        self.worst.reset()
        self._weighed = torch.zeros(2, 2, dtype=torch.float64)  # of the losses

    def update_metrics(self, batch: FramedMaps, split: str) -> None:
        output = self.model(batch.images)
        if isinstance(output, ClassMaps):
            # Together they would be float32, which cannot count beyond 16,777,216 pixels.
            sums = [part.cpu().double() for part in pixel_loss(output, batch.labels)]
            self._weighed[0] += torch.stack(sums)
        else:
            objects = objects_of(batch.labels)
            losses = self.criterion(output, objects)
            self._weighed += self.criterion.weighed(losses, output, objects)
        truth = batch.published_maps()
        found = [picture_classes(output, at, frame) for at, frame in enumerate(batch.frames)]
        for own, labels in zip(found, truth, strict=True):
            self.metrics.update(own, labels)
        keep_worst(self.worst, found, truth, batch.index.tolist())

    def mistakes(self, split: str, most: int) -> Album | None:
        if self._picture is None or self._published is None or self._name is None:
            return None
        names = self.facts.class_names
        return of_pixels(self.worst, names, split, self._picture, self._published, self._name, most)

    def compute_metrics(self, split: str) -> dict[str, float]:
        self.worst.compute()
        weighed = self._weighed.to(self.device, sum_dtype(self.device))
        return {**self.metrics.compute(self.device), "loss": loss_of(sum_over_ranks(weighed))}


def pixel_loss(
    output: ClassMaps, labels: Int[Tensor, "batch height width"]
) -> tuple[Float[Tensor, ""], Tensor]:
    """The sum of cross-entropies over all pixels that are not ignored, and their number."""
    logits = F.interpolate(output.logits.float(), size=labels.shape[1:], mode="bilinear")
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total, (labels != IGNORED).sum()


def objects_of(labels: Int[Tensor, "batch height width"]) -> Objects:
    """Each class that an image shows as one object, whose mask is where it is.

    Asks the device once, for the classes that there are.
    """
    present = torch.stack([(labels == IGNORED).new_zeros(IGNORED + 1)] * len(labels))
    present.scatter_(1, labels.flatten(1), True)
    shown = [row[:IGNORED].nonzero().flatten().tolist() for row in present.cpu()]
    classes = torch.tensor([c for row in shown for c in row], device=labels.device).long()
    counts = tuple(len(row) for row in shown)
    own = torch.tensor([at for at, row in enumerate(shown) for _ in row], device=labels.device)
    masks = labels[own.long()] == classes[:, None, None]
    boxes = torch.zeros(len(classes), 4, device=labels.device)  # nobody asks for them
    return Objects(classes, boxes, counts, masks)
