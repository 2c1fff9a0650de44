"""Text classification: its data, its model, its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vit.data.kinds.text import TextData
from vit.facts import TextFacts
from vit.faults import Misfit
from vit.metrics.classification import ClassificationMetrics
from vit.models.protocols import FeatureHead
from vit.models.sequence import TextClassifier
from vit.tasks.heads import build_head
from vit.tasks.spec import TaskSpec
from vit.tasks.specs.classification import class_loss, logits_fault, ranked_classes
from vit.tasks.texts import tokens_of


class TextClassificationSpec(TaskSpec):
    """Which class a text is of."""

    chosen_by = "task=text_classification"
    head_protocol = FeatureHead
    head_example = "head=linear"

    def from_data(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, TextData) or not data.contents.class_names:
            without = " without classes" if isinstance(data, TextData) else ""
            raise Misfit(
                "task=text_classification wants texts with classes, such as data=text_table; data "
                f"is {type(data).__name__}{without}"
            )
        return {"sample_name": data.sample_name}

    def build_model(
        self, backbone: Any, head: Callable[..., Any], facts: TextFacts
    ) -> TextClassifier:
        if not facts.num_classes:
            raise ValueError("has no classes to tell; the data hold texts for texts")
        given = {"dim": backbone.dim, "num_classes": facts.num_classes}
        return TextClassifier(backbone, build_head(self, head, **given))

    def check_output(self, output: object, count: int, data: Any) -> str | None:
        return logits_fault(output, (count, data.facts.num_classes), "texts")

    def dummy_loss(self, output: Tensor) -> Tensor:
        return class_loss(output)

    @torch.inference_mode()
    def predict(self, trained: Any, inputs: Sequence[str]) -> list[dict[str, Any]]:
        """Of each text `class`, and all `classes` with their probability, the likeliest first."""
        logits = trained.model(tokens_of(trained, inputs)).float()
        return ranked_classes(logits.softmax(-1), trained.class_names)

    def metric_names(self, model: Any, data: Any) -> tuple[str, ...]:
        return ClassificationMetrics(data.facts.class_names).names

    def progress_metrics(self, model: Any) -> tuple[tuple[str, str], ...]:
        names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
        return tuple((name.removeprefix("train/").replace("/", " "), name) for name in names)
