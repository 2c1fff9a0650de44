"""Texts from a model that writes: the likeliest token each time, a beam search, or by chance.

A model is one that has `read`, `continued` and `memory` (see vit.models.text_decoder). Every
function answers with tokens that lack the start token, hold the end token where the text ended
within `most` tokens, and are filled up with PAD behind it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vit.models.text_decoder import SequenceToSequence
from vit.structures import END, PAD, START


class Writing:
    """A batch of texts on their way: the logits of the next token, given those before.

    With `cached`, keys and values of earlier tokens are remembered, and the numbers are the same
    but for their last bits; without, all is computed again for each token.
    """

    def __init__(self, model: SequenceToSequence, source: Tensor, most: int, cached: bool):
        if most < 1:
            raise ValueError(f"most={most}; wanted at least 1 token.")
        self._model = model
        self._context = model.read(source)
        self._memory = model.memory() if cached else None
        self.tokens = torch.full((len(source), 1), START, device=source.device)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def text(self) -> Int[Tensor, "rows tokens"]:
        return self.tokens[:, 1:]

    def logits(self) -> Float[Tensor, "rows vocabulary"]:
        """Of the next token of each row; what never follows a start has none."""
        new = self.tokens if self._memory is None else self.tokens[:, -1:]
        logits = self._model.continued(new, self._context, self._memory, last=True)[:, -1]
        impossible = torch.tensor([PAD, START], device=logits.device)
        return logits.index_fill(1, impossible, float("-inf"))

    def add(self, tokens: Int[Tensor, " rows"]) -> None:
        self.tokens = torch.cat([self.tokens, tokens[:, None]], dim=1)

    def repeat(self, times: int) -> None:
        """Each row so many times, one after the other, before anything was written."""
        context, mask = self._context
        again = [None if x is None else x.repeat_interleave(times, 0) for x in (context, mask)]
        assert again[0] is not None
        self._context = again[0], again[1]
        self.tokens = self.tokens.repeat_interleave(times, 0)

    def take(self, rows: Int[Tensor, " rows"]) -> None:
        """Goes on with these rows, each in the place of one of the same source."""
        self.tokens = self.tokens[rows]
        for memory in self._memory or []:
            memory.tokens.take(rows)  # what is remembered of the source is the same


@torch.inference_mode()
def greedy(
    model: SequenceToSequence, source: Tensor, most: int, *, cached: bool = True
) -> Int[Tensor, "batch tokens"]:
    """The likeliest token each time."""
    writing = Writing(model, source, most, cached)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(most):
        chosen = writing.logits().argmax(-1)
        ended = _written(writing, chosen, ended)
        if ended.all():
            break
    return writing.text


@torch.inference_mode()
def sample(
    model: SequenceToSequence,
    source: Tensor,
    most: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    cached: bool = True,
) -> Int[Tensor, "batch tokens"]:
    """By chance: from the `top_k` likeliest tokens, and of these from the fewest of which one comes
    with a probability of `top_p`; a lower `temperature` dares less.

    Draws come from `generator`, for all rows at once: they follow the seed and the batch.

    Source of top-p: Holtzman et al. 2020, arXiv:1904.09751.
    """
    if temperature <= 0 or not 0 < top_p <= 1 or (top_k is not None and top_k < 1):
        raise ValueError(
            f"temperature={temperature}, top_p={top_p}, top_k={top_k}; wanted a temperature above "
            "0, a top_p above 0 and up to 1, and a top_k of 1 or more or none."
        )
    writing = Writing(model, source, most, cached)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(most):
        logits = likeliest(writing.logits() / temperature, top_k, top_p)
        chosen = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
        ended = _written(writing, chosen, ended)
        if ended.all():
            break
    return writing.text


def likeliest(
    logits: Float[Tensor, "rows vocabulary"], top_k: int | None, top_p: float
) -> Float[Tensor, "rows vocabulary"]:
    """The logits, −inf for all tokens but the likeliest."""
    if top_k is not None and top_k < logits.shape[1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if top_p < 1:
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ranked.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # 0 for the first, which always stays
        out = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before >= top_p)
        logits = logits.masked_fill(out, float("-inf"))
    return logits


@torch.inference_mode()
def beam_search(
    model: SequenceToSequence,
    source: Tensor,
    most: int,
    *,
    width: int = 4,
    length_penalty: float = 1.0,
    cached: bool = True,
) -> tuple[Int[Tensor, "batch width tokens"], Float[Tensor, "batch width"]]:
    """The best texts of each source and their scores, the best first.

    `width` texts go on at a time. A score is the sum of the tokens' log-probabilities over
    tokens**length_penalty: 0 favours short texts, 1 takes the mean. Texts that have ended keep
    their place among those that go on until better ones take it.
    """
    if width < 1:
        raise ValueError(f"width={width}; wanted at least 1 text at a time.")
    writing = Writing(model, source, most, cached)
    batch, device = len(source), source.device
    first = torch.arange(batch, device=device)[:, None] * width  # [batch, 1]
    writing.repeat(width)
    ended = torch.zeros(batch * width, dtype=torch.bool, device=device)
    lengths = torch.zeros(batch * width, device=device, dtype=torch.long)
    sums: Tensor | None = None
    for _ in range(most):
        logs = writing.logits().log_softmax(-1)  # [batch · width, vocabulary]
        if sums is None:
            # All rows of a source are the same yet: only the first counts.
            sums = logs.new_full((batch, width), float("-inf"))
            sums[:, 0] = 0
            sums = sums.flatten()
        # A text that ended goes on in one way only, which costs nothing.
        logs = logs.masked_fill(ended[:, None], float("-inf"))
        logs[:, PAD] = torch.where(ended, 0.0, logs[:, PAD])
        sums_then = sums[:, None] + logs
        lengths_then = lengths + (~ended).long()
        scores = sums_then / lengths_then[:, None].to(logs.dtype) ** length_penalty
        vocabulary = logs.shape[1]
        best = scores.view(batch, width * vocabulary).topk(width, dim=-1).indices
        rows = (first + best // vocabulary).flatten()
        chosen = (best % vocabulary).flatten()
        sums = sums_then[rows, chosen]
        lengths, ended = lengths_then[rows], ended[rows]
        writing.take(rows)
        ended = _written(writing, chosen, ended)
        if ended.all():
            break
    assert sums is not None
    scores = sums / lengths.to(sums.dtype) ** length_penalty
    return writing.text.unflatten(0, (batch, width)), scores.view(batch, width)


def _written(writing: Writing, chosen: Tensor, ended: Tensor) -> Tensor:
    """Adds a token to each row that has not ended; returns which rows have by now."""
    chosen = torch.where(ended, PAD, chosen)
    writing.add(chosen)
    return ended | (chosen == END)
