"""A class for each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vit.data.text import TextData
from vit.facts import TextFacts
from vit.faults import Misfit
from vit.losses.classification import cross_entropy
from vit.metrics.classification import ClassificationMetrics
from vit.metrics.predictions import PerSample
from vit.models.sequence import TextClassifier
from vit.runs.predictions import Predictions
from vit.structures import TextBatch
from vit.tasks.heads import head_for
from vit.tasks.task import OptimizerPart, SchedulePart, Task
from vit.tasks.texts import keep_tokenizer, require_smoothing, tokens_of


class TextClassification(Task):
    """Trains a model to tell the class of a text.

    Each epoch of evaluation logs `accuracy`, `macro_f1`, `loss`, `ece` and `overconfidence`, with
    six classes or more `top5`. That loss is without smoothing.

    Args:
        label_smoothing: share of each target that is spread evenly over all classes.
    """

    def __init__(
        self,
        model: nn.Module,
        facts: TextFacts,
        optim: OptimizerPart,
        schedule: SchedulePart,
        seed: int,
        compile: bool = False,
        sample_name: Callable[[str, int], str] | None = None,
        *,
        label_smoothing: float = 0.0,
    ):
        super().__init__(model, facts, optim, schedule, seed, compile)
        require_smoothing(label_smoothing)
        self.label_smoothing = label_smoothing
        self.metrics = ClassificationMetrics(facts.class_names)
        self.per_sample, self._name = PerSample(), sample_name

    @classmethod
    def model_of(cls, backbone: Any, head: Callable[..., Any], facts: Any) -> TextClassifier:
        if not facts.num_classes:
            raise ValueError("has no classes to tell; the data hold texts for texts")
        given = {"dim": backbone.dim, "num_classes": facts.num_classes}
        own = head_for("task=text_classification", "head=linear", head, **given)
        return TextClassifier(backbone, own)

    @classmethod
    def given_by(cls, data: Any) -> dict[str, Any]:
        if not isinstance(data, TextData) or data.contents.class_names is None:
            raise Misfit(
                "task=text_classification wants texts with classes, such as data=text_table; data "
                f"is {type(data).__name__}{' without classes' * isinstance(data, TextData)}"
            )
        return {"sample_name": data.sample_name}

    @classmethod
    def output_fault(cls, output: Any, images: int, data: Any) -> str | None:
        wanted = (images, data.facts.num_classes)
        found = tuple(getattr(output, "shape", ())) or type(output).__name__
        return None if found == wanted else f"gives {found} for {images} texts; wanted {wanted}"

    @classmethod
    def made_up_loss(cls, output: Tensor) -> Tensor:
        targets = torch.zeros(len(output), dtype=torch.long, device=output.device)
        return cross_entropy(output.float(), targets).mean()

    @classmethod
    @torch.inference_mode()
    def predicted(cls, trained: Any, images: Sequence[Any]) -> list[dict[str, Any]]:
        """Of each text `class`, and all `classes` with their probability, the likeliest first."""
        told = []
        for row in trained.model(tokens_of(trained, images)).float().softmax(-1).tolist():
            ranked = sorted(zip(row, trained.class_names, strict=True), reverse=True)
            classes = [{"class": name, "probability": value} for value, name in ranked]
            told.append({"class": classes[0]["class"], "classes": classes})
        return told

    def shown(self) -> tuple[tuple[str, str], ...]:
        names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
        return tuple((name.removeprefix("train/").replace("/", " "), name) for name in names)

    def forward(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch classes"]:
        return self.model(tokens)

    def on_fit_start(self) -> None:
        keep_tokenizer(self)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        logits = self.model(batch.tokens)
        loss = cross_entropy(logits, batch.targets, label_smoothing=self.label_smoothing).mean()
        accuracy = (logits.detach().argmax(-1) == batch.targets).float().mean()
        self.record({"train/loss": loss, "train/accuracy": accuracy}, len(batch), batch.index)
        return loss

    def begin_evaluation(self) -> None:
        self.metrics.reset()
        self.per_sample.reset()

    def evaluate(self, batch: TextBatch, split: str) -> None:
        logits = self.model(batch.tokens).float()
        losses, probabilities = cross_entropy(logits, batch.targets), logits.softmax(-1)
        self.metrics.update(logits, probabilities, batch.targets, losses)
        self.per_sample.update(batch.index, logits, probabilities, batch.targets)

    def predictions(self, split: str) -> Predictions | None:
        return self.per_sample.told(split, self._name)

    def evaluated(self, split: str) -> dict[str, float]:
        self.per_sample.compute()
        return self.metrics.compute(self.device)

    def monitors(self) -> tuple[str, ...]:
        return tuple(f"val/{name}" for name in self.metrics.names)

    def tables(self) -> dict[str, list]:
        return self.metrics.tables()
