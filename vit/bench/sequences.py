"""Our encoder–decoder beside torch's, and what its memory of keys and values saves in writing."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit.bench.measure import Precision, Ratio, autocast, clock, interleaved, times_as_fast
from vit.bench.side_by_side import (
    OURS,
    Conditions,
    evaluation_pass,
    paces,
    settle,
    training_step,
)
from vit.layers.norm import LayerNorm
from vit.layers.sequence_position import SinusoidalPosition
from vit.models.generation import greedy
from vit.models.sequence import TokenTransformer
from vit.models.text_decoder import SequenceToSequence, TextDecoder
from vit.structures import END, PAD

THEIRS = "nn.Transformer"
PACKAGES = {OURS: "vit-experiments", THEIRS: "torch"}
DROPOUT = 0.1  # of both in training, at every place where torch has one, and of the embeddings


class Shape(NamedTuple):
    """What both build alike: norms first, GELU, biases, one table of embeddings for all three."""

    dim: int
    heads: int
    layers: int  # of the encoder, and as many of the decoder
    hidden: int
    vocabulary: int
    source: int = 64  # tokens that are read; every other text is a quarter shorter
    target: int = 64  # tokens that a training step writes
    written: int = 128  # tokens that are generated


SIZES = {
    "ti": Shape(128, 4, 2, 512, 1000),
    "s": Shape(256, 4, 3, 1024, 1000),
    "b": Shape(512, 8, 6, 2048, 37_000),  # the article's base
}


@dataclass
class Row:
    """How fast one library is at one kind of work."""

    work: str  # forward, or step: forward, cross-entropy, backward and AdamW
    library: str
    version: str
    texts_per_second: float
    ours_is_faster: Ratio | None  # None in our own row


@dataclass
class Generation:
    """Our model writing greedily, with its memory of keys and values and without."""

    texts_per_second: float
    texts_per_second_without: float
    times_as_fast: Ratio
    rounds: int
    same_tokens: float  # share of those that come out alike both ways


@dataclass(kw_only=True)
class Result(Conditions):
    """The rows of all works, and under which conditions they are true."""

    bench = "sequences"

    shape: Shape
    rows: list[Row]
    generation: Generation | None  # None where it was not asked for


def compare(
    size: str = "s",
    *,
    shape: Shape | None = None,
    works: Sequence[str] = ("forward", "step", "generate"),
    batch: int = 8,
    rounds: int = 20,
    generation_rounds: int = 3,
    threads: int = 1,
    device: str = "cpu",
    precision: Precision = "fp32",
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Measures our encoder–decoder against one made of `torch.nn.Transformer`.

    Changes this process for good, as `vit.bench.models.compare` does. `shape` replaces that of
    `size`. Texts and weights are random, the former the same for both. A forward pass reads the
    sources and all target tokens at once, in evaluation and inference mode; a step trains with
    dropout and torch's fused AdamW; `generation_rounds`, since without its memory our model writes
    for seconds. With bf16 the models run under autocast.
    """
    where = settle(threads, device)
    shape = shape or SIZES[size]
    torch.manual_seed(0)
    source, target = made_up_texts(shape, batch, device)
    now = clock(device, threads)
    rows, generation = [], None
    for work in works:
        if work == "generate":
            generation = _generation(shape, source, generation_rounds, precision, now, tell)
            continue
        contenders = {}
        for name, make in MAKERS.items():
            torch.manual_seed(0)
            model = make(shape).to(device).train(work == "step")
            contenders[name] = _work(work, model, source, target, precision)
        seconds = interleaved(contenders, rounds, now, tell=tell)
        rows += [Row(work, *pace) for pace in paces(seconds, PACKAGES, batch)]
    return Result(
        size=size,
        shape=shape,
        batch=batch,
        rounds=rounds,
        precision=precision,
        rows=rows,
        generation=generation,
        **where,
    )


def made_up_texts(shape: Shape, batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Sources [batch, source], some filled up with PAD, and targets with their start token."""
    source = torch.randint(END + 1, shape.vocabulary, (batch, shape.source))
    target = torch.randint(END + 1, shape.vocabulary, (batch, shape.target + 1))
    source[::2, shape.source * 3 // 4 :] = PAD
    return source.to(device), target.to(device)


def our_model(shape: Shape, *, tied: bool = True) -> SequenceToSequence:
    """Untied, its projection has a bias."""
    blocks = partial(
        TokenTransformer,
        dim=shape.dim,
        depth=shape.layers,
        heads=shape.heads,
        mlp_ratio=shape.hidden / shape.dim,
        norm=partial(LayerNorm, eps=1e-5),  # as torch's
        embedding_scale=True,
        dropout=DROPOUT,
        attention_dropout=DROPOUT,
    )
    longest = max(shape.target, shape.written)
    head = TextDecoder(
        shape.dim,
        shape.vocabulary,
        longest,
        blocks=blocks,
        tied=tied,
        shared_table=True,
        output_bias=not tied,
    )
    return SequenceToSequence(blocks(shape.vocabulary, shape.source), head)


class TorchTransformer(nn.Module):
    """torch's transformer as a whole model: embeddings, positions, the tied projection."""

    places: Tensor
    causal: Tensor

    def __init__(self, shape: Shape):
        super().__init__()
        self.table = nn.Embedding(shape.vocabulary, shape.dim)
        nn.init.normal_(self.table.weight, std=shape.dim**-0.5)
        self.scale, self.dropout = shape.dim**0.5, DROPOUT
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor")  # norms come first
            self.inner = nn.Transformer(
                shape.dim,
                shape.heads,
                shape.layers,
                shape.layers,
                shape.hidden,
                DROPOUT,
                "gelu",
                batch_first=True,
                norm_first=True,
            )
        longest = max(shape.source, shape.target)
        places = SinusoidalPosition(shape.dim, shape.heads, longest).table
        causal = nn.Transformer.generate_square_subsequent_mask(shape.target)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits [batch, tokens, vocabulary] of the next token after each one of `target`."""
        padding, written = source == PAD, target.shape[1]
        hidden = self.inner(
            self._embedded(source),
            self._embedded(target),
            tgt_mask=self.causal[:written, :written],
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return F.linear(hidden, self.table.weight)

    def _embedded(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens) * self.scale + self.places[: tokens.shape[1]]
        return F.dropout(x, self.dropout, self.training)


MAKERS: dict[str, Callable[[Shape], nn.Module]] = {OURS: our_model, THEIRS: TorchTransformer}


def _work(
    work: str, model: nn.Module, source: Tensor, target: Tensor, precision: Precision
) -> Callable[[], object]:
    given, wanted = target[:, :-1], target[:, 1:].flatten()
    if work == "forward":
        return evaluation_pass(lambda: model(source, given), source.device, precision)

    def loss() -> Tensor:
        with autocast(source.device, precision):
            return F.cross_entropy(model(source, given).flatten(0, 1), wanted)

    return training_step(model.parameters(), loss, weight_decay=0.01)


def _generation(
    shape: Shape,
    source: Tensor,
    rounds: int,
    precision: Precision,
    now: Callable[[], float],
    tell: Callable[[str], None],
) -> Generation:
    """Both ways by the same weights, random ones that never write the end."""
    torch.manual_seed(0)
    # Tied to the embeddings, random weights would write the same token for ever.
    model = our_model(shape, tied=False).to(source.device).eval()
    assert model.head.output is not None
    nn.init.constant_(model.head.output.bias[END], -1e4)
    texts: dict[str, Tensor] = {}

    def writing(name: str, cached: bool) -> Callable[[], object]:
        def run() -> None:
            with autocast(source.device, precision):
                texts[name] = greedy(model, source, shape.written, cached=cached)

        return run

    contenders = {"with": writing("with", True), "without": writing("without", False)}
    seconds = interleaved(contenders, rounds, now, warm_up=1, tell=tell)
    return Generation(
        len(source) / statistics.median(seconds["with"]),
        len(source) / statistics.median(seconds["without"]),
        times_as_fast(seconds["with"], seconds["without"]),
        rounds,
        (texts["with"] == texts["without"]).float().mean().item(),
    )
