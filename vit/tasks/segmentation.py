"""The task of semantic segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from vit.data.segmentation import SegmentationData
from vit.data.segmentation_loading import FramedMaps
from vit.facts import Facts
from vit.faults import Misfit
from vit.losses.detection import SetCriterion, loss_of
from vit.losses.masks import NUM_POINTS
from vit.metrics.ranks import sum_dtype, sum_over_ranks
from vit.metrics.segmentation import SemanticMetrics
from vit.metrics.worst import Worst
from vit.models.detector import Detector
from vit.runs.album import Album
from vit.runs.counted import PICTURES_OWN_SIZE
from vit.structures import IGNORED, ClassMaps, Detections, Objects, SegmentationBatch
from vit.tasks.mistakes import Name, Picture, Published, keep_worst, of_pixels
from vit.tasks.pixel_classes import picture_classes
from vit.tasks.queries import built_with, made_up_loss, points_generator, tell_progress
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
        published: Published | None = None,
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
            weight_class=weight_class,
            weight_mask=weight_mask,
            weight_dice=weight_dice,
            cost_class=cost_class,
            cost_mask=cost_mask,
            cost_dice=cost_dice,
            num_points=num_points,
        )
        self.metrics = SemanticMetrics(facts.class_names, IGNORED)
        self.worst = Worst(MOST_PICTURES)
        self._picture, self._published, self._name = picture, published, sample_name

    @classmethod
    def model_of(cls, backbone: Any, head: Callable[..., Any], facts: Facts) -> Detector:
        return built_with(backbone, head, facts, "task=segmentation", "head=semantic")

    @classmethod
    def given_by(cls, data: Any) -> dict[str, Any]:
        if not isinstance(data, SegmentationData):
            raise Misfit(
                "task=segmentation wants images with a class for each pixel, such as "
                f"data=mask_folder; data is {type(data).__name__}"
            )
        given: dict[str, Any] = {"picture": data.picture, "published": data.class_map}
        return {**given, "sample_name": data.sample_name}

    @classmethod
    def output_fault(cls, output: Any, images: int, data: Any) -> str | None:
        if isinstance(output, Detections) and output.answer.masks is not None:
            found, wanted = output.answer.logits.shape[2], data.facts.num_classes + 1
        elif isinstance(output, ClassMaps):
            found, wanted = output.logits.shape[1], data.facts.num_classes
        else:
            return "gives no classes of pixels; task=segmentation wants head=semantic or masks"
        return None if found == wanted else f"gives {found} classes; wanted {wanted}"

    @classmethod
    def made_up_loss(cls, output: Any) -> Tensor:
        return made_up_loss(output)

    @classmethod
    @torch.inference_mode()
    def predicted(cls, trained: Any, images: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """`shares` of the image by class, the largest first, and `class_map` [height, width]."""
        device = next(trained.model.parameters()).device
        told = []
        for image in images:
            output = trained.model(trained.transform(image)[None].to(device))
            frame = trained.transform.frame(image.height, image.width)
            chosen = picture_classes(output, 0, frame).cpu()
            counts = torch.bincount(chosen.flatten(), minlength=trained.facts.num_classes)
            shares = {
                name: count / chosen.numel()
                for name, count in zip(trained.facts.class_names, counts.tolist(), strict=True)
                if count
            }
            ranked = dict(sorted(shares.items(), key=lambda item: -item[1]))
            told.append({"shares": ranked, "class_map": chosen.numpy()})
        return told

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
        told = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.record(told, len(batch), batch.index)
        return losses["loss"]

    def monitors(self) -> tuple[str, ...]:
        return tuple(f"val/{name}" for name in (*self.metrics.names, "loss"))

    def tables(self) -> dict[str, list]:
        return self.metrics.tables()

    def shown(self) -> tuple[tuple[str, str], ...]:
        return (("loss", "train/loss"), ("val loss", "val/loss"), ("val mIoU", "val/miou"))

    def begin_evaluation(self) -> None:
        self.metrics.reset()
        self.worst.reset()
        self._weighed = torch.zeros(2, 2, dtype=torch.float64)  # of the losses

    def evaluate(self, batch: FramedMaps, split: str) -> None:
        output = self.model(batch.images)
        if isinstance(output, ClassMaps):
            # Together they would be float32, which cannot count beyond 16,777,216 pixels.
            told = [part.cpu().double() for part in pixel_loss(output, batch.labels)]
            self._weighed[0] += torch.stack(told)
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

    def evaluated(self, split: str) -> dict[str, float]:
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
