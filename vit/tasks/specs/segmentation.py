"""Semantic segmentation: its data, its model, its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.data.kinds.segmentation import SegmentationData
from vit.facts import Facts
from vit.faults import Misfit, shorten
from vit.losses.pixels import CrossEntropy
from vit.metrics.segmentation import SemanticMetrics
from vit.models.detector import Detector
from vit.models.protocols import PixelHead
from vit.runs.rare_classes import PAGE, PLAIN, choices_left, joined, rare_classes, with_shares
from vit.structures import ClassMaps, Detections
from vit.tasks.class_weights import WIDE, Kind, computed_weights, given_weights, told_weights
from vit.tasks.pixel_classes import picture_classes
from vit.tasks.spec import TaskSpec
from vit.tasks.specs.detector import build_detector, squared_answer

ClassWeights = Kind | dict[str, Any] | None


def is_plain(loss: object) -> bool:
    """Whether a choice of `task/pixel_loss`, as the config has it or built, is cross-entropy."""
    if isinstance(loss, Mapping):
        return loss.get("_target_") == PLAIN
    return loss is None or type(loss) is CrossEntropy


def loss_text(loss: object) -> str:
    if not isinstance(loss, Mapping):
        return str(loss)
    name = str(loss.get("_target_")).rsplit(".", 1)[-1]
    settings = [f"{key} {value:g}" for key, value in loss.items() if isinstance(value, float | int)]
    return ", ".join([name, *settings])


def weights_of(data: SegmentationData, chosen: Kind | Mapping[Any, Any]) -> list[float]:
    """By class, as given or as the training maps have it, which may be read for it."""
    names = data.facts.class_names
    if isinstance(chosen, Mapping):
        return given_weights(chosen, names)
    return computed_weights(chosen, *data.class_totals(), names)


class SegmentationSpec(TaskSpec):
    """The class of every pixel of an image."""

    chosen_by = "task=segmentation"
    head_protocol = PixelHead
    head_example = "head=semantic"

    def from_data(self, data: Any, *, class_weights: ClassWeights = None) -> dict[str, Any]:
        if not isinstance(data, SegmentationData):
            raise Misfit(
                "task=segmentation wants images with a class for each pixel, such as "
                f"data=mask_folder; data is {type(data).__name__}"
            )
        given: dict[str, Any] = {"picture": data.picture, "published": data.class_map}
        given["sample_name"] = data.sample_name
        if isinstance(class_weights, Mapping):
            given_weights(class_weights, data.facts.class_names)
        if class_weights is not None:  # counted only where something is trained
            given["weigh_classes"] = partial(weights_of, data, class_weights)
        return given

    def settled(
        self,
        data: Any,
        *,
        class_weights: ClassWeights = None,
        pixel_loss: object = None,
    ) -> dict[str, str]:
        if data.contents.faults:
            return {}  # of maps that are missing nothing can be counted
        told = {}
        if not is_plain(pixel_loss):
            told["pixel loss"] = loss_text(pixel_loss)
        if class_weights is not None:
            weights = weights_of(data, class_weights)
            how = class_weights if isinstance(class_weights, str) else "given"
            told["class weights"] = f"{how}: {told_weights(weights, data.facts.class_names)}"
        if data.class_sampling:
            maps = data.class_pixels.maps().tolist()
            shown = [
                f"{name} {count:,}"
                for name, count in zip(data.facts.class_names, maps, strict=True)
            ]
            told["sampling"] = (
                f"{data.class_sampling:.0%} of an epoch by class; images that show each: "
                f"{shorten(shown)}"
            )
        return told

    def build_model(self, backbone: Any, head: Callable[..., Any], facts: Facts) -> Detector:
        return build_detector(self, backbone, head, facts)

    def check_output(
        self,
        output: object,
        count: int,
        data: Any,
        *,
        class_weights: ClassWeights = None,
        pixel_loss: object = None,
    ) -> str | None:
        if isinstance(output, Detections) and output.answer.masks is not None:
            if class_weights is not None or not is_plain(pixel_loss):
                asked = "task.class_weights" if is_plain(pixel_loss) else "task/pixel_loss"
                return (
                    f"answers with queries, to which {asked} does not apply: it is for heads that "
                    "answer with maps of classes. Take head=semantic, or leave it out; "
                    "data.class_sampling=0.5 is for both"
                )
            found, wanted = output.answer.logits.shape[2], data.facts.num_classes + 1
        elif isinstance(output, ClassMaps):
            found, wanted = output.logits.shape[1], data.facts.num_classes
        else:
            return "gives no classes of pixels; task=segmentation wants head=semantic or masks"
        return None if found == wanted else f"gives {found} classes; wanted {wanted}"

    def data_warnings(
        self,
        data: Any,
        output: Any,
        *,
        class_weights: ClassWeights = None,
        pixel_loss: object = None,
    ) -> list[str]:
        lines = data.warnings()
        if data.contents.faults:
            return lines
        if isinstance(class_weights, str):
            weights = weights_of(data, class_weights)
            if max(weights) > WIDE * min(weights):
                milder = "" if class_weights == "inverse_sqrt" else "; inverse_sqrt is milder"
                lines.append(
                    f"task.class_weights={class_weights}: the largest weight is "
                    f"{max(weights) / min(weights):,.0f} times the smallest, and a few pixels "
                    f"decide a step{milder}."
                )
        task = {"class_weights": class_weights, "pixel_loss": None if is_plain(pixel_loss) else {}}
        settings = {"class_sampling": data.class_sampling}
        words = choices_left(task, settings, isinstance(output, ClassMaps))
        rare = rare_classes(data.class_shares())
        # Whoever has chosen one of them knows.
        chosen = class_weights is not None or not is_plain(pixel_loss) or data.class_sampling
        if rare and not chosen:
            lines.append(
                f"rare classes, which may never be predicted: {with_shares(rare)}. For them there "
                f"is {joined(words)}: {PAGE}"
            )
        return lines

    def dummy_loss(self, output: Any) -> Tensor:
        return squared_answer(output)

    @torch.inference_mode()
    def predict(self, trained: Any, inputs: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """`shares` of the image by class, the largest first, and `class_map` [height, width]."""
        device = next(trained.model.parameters()).device
        answers = []
        for image in inputs:
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
            answers.append({"shares": ranked, "class_map": chosen.numpy()})
        return answers

    def metric_names(self, model: Any, data: Any) -> tuple[str, ...]:
        return (*SemanticMetrics.names, "loss")

    def progress_metrics(self, model: Any) -> tuple[tuple[str, str], ...]:
        return (("loss", "train/loss"), ("val loss", "val/loss"), ("val mIoU", "val/miou"))
