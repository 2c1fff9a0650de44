"""A text for each text: its data, its model, its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vit.data.kinds.text import TextData
from vit.faults import Misfit
from vit.metrics.sequence import SequenceMetrics
from vit.metrics.written import WrittenMetrics
from vit.models.generation import beam_search, greedy
from vit.models.protocols import TextHead
from vit.models.text_decoder import SequenceToSequence
from vit.tasks.heads import build_head
from vit.tasks.spec import TaskSpec
from vit.tasks.specs.classification import logits_fault
from vit.tasks.texts import tokens_of


class TextToTextSpec(TaskSpec):
    """A text for each text: translation, summaries, conversion."""

    chosen_by = "task=text_to_text"
    head_protocol = TextHead
    head_example = "head=text_decoder"

    def from_data(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, TextData) or data.contents.class_names:
            with_classes = " with classes" if isinstance(data, TextData) else ""
            raise Misfit(
                "task=text_to_text wants texts with other texts, such as data=number_words or "
                f"data=text_table data.target=text; data is {type(data).__name__}{with_classes}"
            )
        return {}

    def build_model(
        self, backbone: Any, head: Callable[..., Any], facts: Any
    ) -> SequenceToSequence:
        sizes = {"vocabulary": facts.vocabulary, "length": facts.max_target_tokens}
        return SequenceToSequence(backbone, build_head(self, head, dim=backbone.dim, **sizes))

    def check_output(self, output: object, count: int, data: Any) -> str | None:
        wanted = (count, data.facts.max_target_tokens, data.facts.vocabulary)
        return logits_fault(output, wanted, "texts")

    def dummy_loss(self, output: Tensor) -> Tensor:
        targets = torch.zeros(output.shape[:2], dtype=torch.long, device=output.device)
        return F.cross_entropy(output.float().flatten(0, 1), targets.flatten())

    def predict(
        self, trained: Any, inputs: Sequence[Any], *, beams: int = 1, length_penalty: float = 1.0
    ) -> list[dict[str, Any]]:
        """Of each text the `text` that the model writes."""
        most = trained.facts.max_target_tokens
        tokens = tokens_of(trained, inputs)
        rows = write(trained.model, tokens, most, beams, length_penalty)
        return [{"text": text} for text in trained.transform.decode(rows.tolist())]

    def metric_names(
        self, model: Any, data: Any, *, text_metrics: Sequence[str] = ()
    ) -> tuple[str, ...]:
        return SequenceMetrics.names + WrittenMetrics(text_metrics).names

    def progress_metrics(self, model: Any) -> tuple[tuple[str, str], ...]:
        return (
            ("loss", "train/loss"),
            ("tokens right", "train/token_accuracy"),
            ("val loss", "val/loss"),
            ("val exact", "val/exact_match"),
        )


def write(model: Any, tokens: Tensor, most: int, beams: int, length_penalty: float) -> Tensor:
    """What a model writes of each input, at most `most` tokens: [batch, tokens]."""
    if beams == 1:
        return greedy(model, tokens, most)
    found, _ = beam_search(model, tokens, most, width=beams, length_penalty=length_penalty)
    return found[:, 0]
