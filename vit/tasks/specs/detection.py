"""Object detection: its data, its model, its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.data.annotations.segments import as_json
from vit.data.coco_panoptic import CocoPanoptic
from vit.data.kinds.detection import DetectionData
from vit.facts import Facts
from vit.faults import Misfit
from vit.metrics.detection import NAMES
from vit.metrics.panoptic import PanopticMetrics
from vit.models.detector import Detector
from vit.models.heads.masks import MasksHead
from vit.models.protocols import PixelHead
from vit.structures import Detections
from vit.tasks.inputs import images_of, padding_of
from vit.tasks.postprocess import postprocess
from vit.tasks.spec import TaskSpec
from vit.tasks.specs.detector import build_detector, squared_answer


class DetectionSpec(TaskSpec):
    """Where the objects of an image are, and what they are."""

    chosen_by = "task=detection"
    head_protocol = PixelHead
    head_example = "head=deformable"

    def from_data(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, DetectionData):
            raise Misfit(
                f"task=detection wants pictures with boxes, such as data=coco; data is "
                f"{type(data).__name__}"
            )
        given: dict[str, Any] = {"truth": data.ground_truth, "picture": data.picture}
        given["sample_name"] = data.sample_name
        if isinstance(data, CocoPanoptic):
            given |= {"panoptic": data.panoptic, "is_thing": data.is_thing}
        return given

    def build_model(self, backbone: Any, head: Callable[..., Any], facts: Facts) -> Detector:
        return build_detector(self, backbone, head, facts)

    def check_output(self, output: object, count: int, data: Any) -> str | None:
        if not isinstance(output, Detections):
            return "gives no objects; task=detection wants a head such as head=deformable"
        if output.answer.masks is not None and not getattr(data, "masks", True):
            return "learns from the outlines of objects; set data.masks=true"
        found = tuple(output.answer.logits.shape)
        whole = data.facts.num_classes, data.facts.num_classes + 1  # with "no object"
        if found[0] == count and found[2] in whole:
            return None
        wanted = (count, "queries", data.facts.num_classes)
        return f"gives classes of shape {found} for {count} images; wanted {wanted}"

    def dummy_loss(self, output: Detections) -> Tensor:
        return squared_answer(output)

    @torch.inference_mode()
    def predict(self, trained: Any, inputs: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """`objects` of each image, the best first: `class`, `score`, `box_xyxy` in its pixels.

        Of a head that answers with masks also `segmentation`, COCO's run lengths.
        """
        model, transform, facts = trained.model, trained.transform, trained.facts
        frames = [transform.frame(image.height, image.width) for image in inputs]
        answer = model(images_of(trained, inputs), padding_of(trained, inputs))
        images = list(range(len(inputs)))
        found = postprocess(answer, model, images, frames, most=100)
        answers: list[dict[str, Any]] = [{"objects": []} for _ in inputs]
        masks: Sequence[Any] = found.masks if found.masks else (None,) * len(found.image)
        rows = zip(found.image, found.score, found.label, found.boxes_xyxy, masks, strict=True)
        for image, score, label, box, mask in rows:
            outline = {} if mask is None else {"segmentation": as_json(mask)}
            answers[image]["objects"].append(
                {
                    "class": facts.class_names[label],
                    "label": int(label),
                    "score": float(score),
                    "box_xyxy": [float(edge) for edge in box],
                    **outline,
                }
            )
        return answers

    def metric_names(self, model: Any, data: Any) -> tuple[str, ...]:
        prefix = metric_prefix(model)
        segments = PanopticMetrics.names if prefix and isinstance(data, CocoPanoptic) else ()
        return ("loss", *(f"{prefix}{name}" for name in NAMES), *segments)

    def data_warnings(self, data: Any, output: Detections) -> list[str]:
        if not isinstance(data, DetectionData):
            return []  # a fault, which is reported as such
        crowded = data.too_many_objects(output.answer.logits.shape[1])
        return [*data.warnings(), *([crowded] if crowded else [])]

    def progress_metrics(self, model: Any) -> tuple[tuple[str, str], ...]:
        prefix = metric_prefix(model)
        of = prefix.replace("_", " ")
        return (
            ("loss", "train/loss"),
            ("val loss", "val/loss"),
            (f"val {of}AP", f"val/{prefix}ap"),
            (f"val {of}AP50", f"val/{prefix}ap50"),
        )


def metric_prefix(model: Any) -> str:
    """`mask_` where the model's head answers with masks, which its metrics are then of."""
    return "mask_" if isinstance(getattr(model, "head", None), MasksHead) else ""
