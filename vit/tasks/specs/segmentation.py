"""Semantic segmentation: its data, its model, its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.data.kinds.segmentation import SegmentationData
from vit.facts import Facts
from vit.faults import Misfit
from vit.metrics.segmentation import SemanticMetrics
from vit.models.detector import Detector
from vit.models.protocols import PixelHead
from vit.structures import ClassMaps, Detections
from vit.tasks.pixel_classes import picture_classes
from vit.tasks.spec import TaskSpec
from vit.tasks.specs.detector import build_detector, squared_answer


class SegmentationSpec(TaskSpec):
    """The class of every pixel of an image."""

    chosen_by = "task=segmentation"
    head_protocol = PixelHead
    head_example = "head=semantic"

    def from_data(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, SegmentationData):
            raise Misfit(
                "task=segmentation wants images with a class for each pixel, such as "
                f"data=mask_folder; data is {type(data).__name__}"
            )
        given: dict[str, Any] = {"picture": data.picture, "published": data.class_map}
        return {**given, "sample_name": data.sample_name}

    def build_model(self, backbone: Any, head: Callable[..., Any], facts: Facts) -> Detector:
        return build_detector(self, backbone, head, facts)

    def check_output(self, output: object, count: int, data: Any) -> str | None:
        if isinstance(output, Detections) and output.answer.masks is not None:
            found, wanted = output.answer.logits.shape[2], data.facts.num_classes + 1
        elif isinstance(output, ClassMaps):
            found, wanted = output.logits.shape[1], data.facts.num_classes
        else:
            return "gives no classes of pixels; task=segmentation wants head=semantic or masks"
        return None if found == wanted else f"gives {found} classes; wanted {wanted}"

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
