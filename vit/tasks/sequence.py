"""A text for each text: translation, summaries, conversion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vit.data.formats.tokenizing import Tokenizer
from vit.facts import CaptionFacts, TextFacts
from vit.metrics.sequence import SequenceMetrics
from vit.metrics.written import WrittenMetrics
from vit.runs.distributed import several_ranks, sum_over_ranks
from vit.structures import PAD, START, CaptionBatch, TextBatch
from vit.tasks.specs.sequence import TextToTextSpec, write
from vit.tasks.task import OptimizerPart, SchedulePart, Task
from vit.tasks.texts import keep_tokenizer, require_smoothing

SAMPLES = 10  # texts of an evaluation that its table shows


class TextToText(Task):
    """Trains a model to write a text for each text: to translate, to sum up, to convert.

    In training each token is predicted from the right ones before it; the loss is the mean over the
    tokens of a micro-batch on all devices. Evaluation has the model write by itself.

    Args:
        label_smoothing: share of each target that is spread over the vocabulary in training.
        beams: texts that go on at a time in evaluation and prediction; 1 takes the likeliest token
            each time.
        length_penalty: of a beam search; see vit.models.generation.
        text_metrics: which of "bleu", "chrf" and "rouge" evaluation computes of the texts, all
            ranks' together; see vit.metrics.written.

    Each epoch of evaluation logs `exact_match`, `token_accuracy`, `loss`, `perplexity` and what
    `text_metrics` asks for; its table shows the first `samples` with the texts as the tokenizer
    tells them.
    """

    spec = TextToTextSpec

    def __init__(
        self,
        model: nn.Module,
        facts: TextFacts | CaptionFacts,
        optim: OptimizerPart,
        schedule: SchedulePart,
        seed: int,
        compile: bool = False,
        *,
        label_smoothing: float = 0.0,
        beams: int = 1,
        length_penalty: float = 1.0,
        text_metrics: Sequence[str] = (),
    ):
        super().__init__(model, facts, optim, schedule, seed, compile)
        require_smoothing(label_smoothing)
        if beams < 1:
            raise ValueError(f"task.beams={beams}; wanted 1 or more.")
        self.label_smoothing = label_smoothing
        self.beams, self.length_penalty = beams, length_penalty
        self.metrics = SequenceMetrics()
        self.text_metrics = WrittenMetrics(text_metrics)
        self._shown: list[tuple[list[int], list[int], list[int]]] = []

    def forward(self, tokens: Tensor, target: Tensor) -> Float[Tensor, "batch tokens vocabulary"]:
        return self.model(tokens, target)

    def on_fit_start(self) -> None:
        keep_tokenizer(self.trainer, self.facts)

    def training_step(self, batch: TextBatch | CaptionBatch, batch_idx: int) -> Tensor:
        logits = self.model(batch.tokens, shifted(batch.targets)).float()
        total = F.cross_entropy(
            logits.flatten(0, 1),
            batch.targets.flatten(),
            ignore_index=PAD,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        real = batch.targets != PAD
        count = real.sum()
        everywhere = sum_over_ranks(count.clone()) if several_ranks() else count
        loss = total * self.trainer.world_size / everywhere
        right = ((logits.detach().argmax(-1) == batch.targets) & real).sum() / count
        self.record({"train/loss": loss, "train/token_accuracy": right}, len(batch), batch.index)
        return loss

    def predict_step(
        self, batch: TextBatch | CaptionBatch, batch_idx: int
    ) -> Int[Tensor, "batch tokens"]:
        return self._written(batch.tokens)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.facts.tokenizer)

    def reset_metrics(self) -> None:
        self.metrics.reset()
        self.text_metrics.reset()
        self._shown = []

    def update_metrics(self, batch: TextBatch | CaptionBatch, split: str) -> None:
        logits = self.model(batch.tokens, shifted(batch.targets))
        written = self._written(batch.tokens)
        self.metrics.update(logits, batch.targets, written)
        if self.text_metrics.wanted:
            texts = self.tokenizer.decode(written.tolist())
            right = batch.references or self.tokenizer.decode(batch.targets.tolist())
            self.text_metrics.update(batch.index.tolist(), texts, right)
        if wanted := SAMPLES - len(self._shown):
            parts = (self.shown_source(batch), batch.targets, written)
            rows = (part[:wanted].tolist() for part in parts)
            self._shown += list(zip(*rows, strict=True))

    def shown_source(self, batch: Any) -> Tensor:
        """What the table of samples tells of what was read."""
        return batch.tokens

    def compute_metrics(self, split: str) -> dict[str, float]:
        return self.metrics.compute(self.device) | self.text_metrics.compute()

    def tables(self) -> dict[str, list]:
        """`samples`: source, target and what was written, of this process's first texts."""
        if not self._shown:
            return {"samples": []}
        columns = zip(*self._shown, strict=True)
        texts = [self.tokenizer.decode(column) for column in columns]
        return {"samples": [list(row) for row in zip(*texts, strict=True)]}

    def _written(self, tokens: Tensor) -> Tensor:
        most = self.facts.max_target_tokens
        return write(self.model, tokens, most, self.beams, self.length_penalty)


def shifted(targets: Int[Tensor, "batch tokens"]) -> Int[Tensor, "batch tokens"]:
    """What a decoder is given to write the targets: START, and all of them but the last."""
    return torch.cat([torch.full_like(targets[:, :1], START), targets[:, :-1]], dim=1)
