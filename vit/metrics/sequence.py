"""Metrics of texts that a model wrote, from counts and sums over all samples."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vit.runs.distributed import sum_dtype, sum_over_ranks
from vit.structures import END, PAD, UNKNOWN


class SequenceMetrics:
    """`loss` (nats a token), `perplexity` (its exponential), `token_accuracy` and `exact_match`.

    The first three are of tokens after the right ones before each, the last of texts that the model
    wrote by itself: the share that is the target token by token. A target with a token that the
    vocabulary lacks is matched by nothing. Counts are exact whatever the batches and ranks.
    """

    names = ("loss", "perplexity", "token_accuracy", "exact_match")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sums: Tensor | None = None  # loss, tokens, tokens right, texts, texts right

    def update(
        self,
        logits: Float[Tensor, "batch tokens vocabulary"],
        targets: Int[Tensor, "batch tokens"],
        written: Int[Tensor, "batch written_tokens"],
    ) -> None:
        """Adds a batch without waiting for the device."""
        if self._sums is None:
            self._sums = torch.zeros(5, dtype=sum_dtype(logits.device), device=logits.device)
        real = targets != PAD
        logs = logits.float().log_softmax(-1)
        losses = -logs.gather(-1, targets[..., None])[..., 0].masked_fill(~real, 0.0)
        right = (logits.argmax(-1) == targets) & real
        found = (losses, real, right, torch.ones_like(targets[:, 0]), matches(written, targets))
        self._sums += torch.stack([value.to(self._sums.dtype).sum() for value in found])

    def compute(self, device: torch.device) -> dict[str, float]:
        """Over all ranks; every rank must call it, once per evaluation."""
        if self._sums is None:  # this rank had no texts; it still takes part in the sum
            self._sums = torch.zeros(5, dtype=sum_dtype(device), device=device)
        loss, tokens, right, texts, matched = sum_over_ranks(self._sums).tolist()
        if not tokens:
            return dict.fromkeys(self.names, math.nan)
        mean = loss / tokens
        perplexity = math.exp(mean) if mean < 700 else math.inf  # beyond float64
        return dict(
            zip(self.names, (mean, perplexity, right / tokens, matched / texts), strict=True)
        )


def matches(
    written: Int[Tensor, "batch written_tokens"], targets: Int[Tensor, "batch tokens"]
) -> Tensor:
    """Which rows are the same up to their end, bool [batch]."""
    longest = max(written.shape[1], targets.shape[1])
    one, two = (
        torch.nn.functional.pad(rows, (0, longest - rows.shape[1]), value=PAD)
        for rows in (written, targets)
    )
    ended = (targets == END).any(1)
    return (one == two).all(1) & ended & ~(targets == UNKNOWN).any(1)
