"""Image classification: its data, its model, its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.data.kinds.classification import ClassificationData
from vit.facts import Facts
from vit.faults import Misfit
from vit.losses.classification import cross_entropy
from vit.metrics.classification import ClassificationMetrics
from vit.metrics.multilabel import MultilabelMetrics
from vit.models.classifier import Classifier
from vit.models.protocols import FeatureHead
from vit.tasks.heads import build_head
from vit.tasks.spec import TaskSpec


class ClassificationSpec(TaskSpec):
    """Which class, or which classes, an image shows."""

    chosen_by = "task=classification"
    head_protocol = FeatureHead
    head_example = "head=linear"

    def from_data(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, ClassificationData):
            raise Misfit(
                f"task=classification wants images with classes; data is {type(data).__name__}"
            )
        if not data.facts.num_classes:
            raise Misfit("task=classification wants classes, and these images have none")
        weights = data.class_weight_values()
        return {
            "class_weights": None if weights is None else tuple(weights),
            "picture": data.picture,
            "sample_name": data.sample_name,
        }

    def build_model(self, backbone: Any, head: Callable[..., Any], facts: Facts) -> Classifier:
        given = {"dim": backbone.dim, "num_classes": facts.num_classes}
        return Classifier(backbone, build_head(self, head, **given))

    def check_output(self, output: object, count: int, data: Any) -> str | None:
        return logits_fault(output, (count, data.facts.num_classes), "images")

    def dummy_loss(self, output: Tensor) -> Tensor:
        return class_loss(output)

    def predict(self, trained: Any, inputs: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """`class`, and all `classes` with their probability, the most probable first."""
        return ranked_classes(trained.probabilities(inputs), trained.class_names)

    def independent_classes(self, facts: Facts, *, loss: str = "auto") -> bool:
        return facts.multi_label or loss == "bce"

    def metric_names(self, model: Any, data: Any) -> tuple[str, ...]:
        return metrics_for(data.facts).names

    def data_warnings(self, data: Any, output: Any) -> list[str]:
        return data.warnings() if isinstance(data, ClassificationData) else []

    def progress_metrics(self, model: Any) -> tuple[tuple[str, str], ...]:
        return (
            ("loss", "train/loss"),
            ("accuracy", "train/accuracy"),
            ("val loss", "val/loss"),
            ("val accuracy", "val/accuracy"),
            ("val mAP", "val/map"),
        )


def metrics_for(facts: Facts) -> ClassificationMetrics | MultilabelMetrics:
    """What counts an evaluation of images with one label each, or with several."""
    kind = MultilabelMetrics if facts.multi_label else ClassificationMetrics
    return kind(facts.class_names)


def logits_fault(output: object, wanted: tuple[int, ...], unit: str) -> str | None:
    """What is wrong with the shape of logits whose first axis are samples; None if nothing."""
    found = tuple(getattr(output, "shape", ())) or type(output).__name__
    return None if found == wanted else f"gives {found} for {wanted[0]} {unit}; wanted {wanted}"


def class_loss(logits: Tensor) -> Tensor:
    """The cross-entropy of logits [batch, classes] where every sample is of the first class."""
    targets = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return cross_entropy(logits.float(), targets).mean()


def ranked_classes(probabilities: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each row [classes] the most probable `class`, and all `classes` in falling order."""
    rows = []
    for row in probabilities.tolist():
        ranked = sorted(zip(row, names, strict=True), reverse=True)
        classes = [{"class": name, "probability": value} for value, name in ranked]
        rows.append({"class": classes[0]["class"], "classes": classes})
    return rows
