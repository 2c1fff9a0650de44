"""A class for each text."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor, nn

from vit.facts import TextFacts
from vit.losses.classification import cross_entropy
from vit.metrics.classification import ClassificationMetrics
from vit.metrics.predictions import PerSample
from vit.runs.predictions import Predictions
from vit.structures import TextBatch
from vit.tasks.specs.text_classification import TextClassificationSpec
from vit.tasks.task import OptimizerPart, SchedulePart, Task
from vit.tasks.texts import keep_tokenizer, require_smoothing


class TextClassification(Task):
    """Trains a model to tell the class of a text.

    Each epoch of evaluation logs `accuracy`, `macro_f1`, `loss`, `ece` and `overconfidence`, with
    six classes or more `top5`. That loss is without smoothing.

    Args:
        label_smoothing: share of each target that is spread evenly over all classes.
    """

    spec = TextClassificationSpec

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

    def forward(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch classes"]:
        return self.model(tokens)

    def on_fit_start(self) -> None:
        keep_tokenizer(self.trainer, self.facts)

    def training_step(self, batch: TextBatch, batch_idx: int) -> Tensor:
        logits = self.model(batch.tokens)
        loss = cross_entropy(logits, batch.targets, label_smoothing=self.label_smoothing).mean()
        accuracy = (logits.detach().argmax(-1) == batch.targets).float().mean()
        self.record({"train/loss": loss, "train/accuracy": accuracy}, len(batch), batch.index)
        return loss

    def reset_metrics(self) -> None:
        self.metrics.reset()
        self.per_sample.reset()

    def update_metrics(self, batch: TextBatch, split: str) -> None:
        logits = self.model(batch.tokens).float()
        losses, probabilities = cross_entropy(logits, batch.targets), logits.softmax(-1)
        self.metrics.update(logits, probabilities, batch.targets, losses)
        self.per_sample.update(batch.index, logits, probabilities, batch.targets)

    def predictions(self, split: str) -> Predictions | None:
        return self.per_sample.collected(split, self._name)

    def compute_metrics(self, split: str) -> dict[str, float]:
        self.per_sample.compute()
        return self.metrics.compute(self.device)

    def tables(self) -> dict[str, list]:
        return self.metrics.tables()
