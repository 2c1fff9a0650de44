"""From what a backbone saw to a text: the decoder, and the model of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vit.layers.kv_cache import BlockMemory
from vit.layers.linear import linear
from vit.models.backbone_head import deepest
from vit.models.sequence import TokenTransformer

Context = tuple[Tensor, Tensor | None]  # tokens [batch, context, dim], mask [batch, context]


class TextDecoder(nn.Module):
    """Writes a text token by token, looking at a context.

    `blocks` makes the decoder of vit.models.sequence. `tied` projects onto the vocabulary by the
    table of embeddings, otherwise the projection has weights of its own; `output_bias` adds a bias.
    `shared_table` reads the backbone's embeddings, which then must be of the same vocabulary and
    width.
    """

    def __init__(
        self,
        dim: int,
        vocabulary: int,
        length: int,
        *,
        blocks: Callable[..., TokenTransformer] = TokenTransformer,
        tied: bool = True,
        shared_table: bool = False,
        output_bias: bool = False,
    ):
        super().__init__()
        given = {"vocabulary": vocabulary, "length": length, "context_dim": dim}
        self.blocks: Any = blocks(**given, own_table=not shared_table)
        self.shared_table = shared_table
        self.vocabulary, self.length = vocabulary, length
        self.output = None if tied else linear(self.blocks.dim, vocabulary, bias=output_bias)
        self.bias = nn.Parameter(torch.zeros(vocabulary)) if tied and output_bias else None

    def forward(
        self,
        tokens: Int[Tensor, "batch tokens"],
        context: Float[Tensor, "batch context context_dim"],
        context_mask: Bool[Tensor, "batch seen"] | None = None,
        *,
        table: Float[Tensor, "vocabulary dim"] | None = None,
        memory: list[BlockMemory] | None = None,
        last: bool = False,
    ) -> Float[Tensor, "batch target vocabulary"]:
        """After each token, the logits of the next; with `last` after the last token alone."""
        seen = {"table": table, "memory": memory}
        x = self.blocks(tokens, context, context_mask, **seen).patches
        x = x[:, -1:] if last else x
        if self.output is not None:
            return self.output(x)
        own: Any = table if self.blocks.table is None else self.blocks.table.weight
        return F.linear(x, own, self.bias)

    def flops(self, tokens: int, context_tokens: int) -> int:
        projection = 2 * tokens * self.blocks.dim * self.vocabulary
        return self.blocks.flops(tokens, context_tokens) + projection


class SequenceToSequence(nn.Module):
    """A backbone that reads, of text or of images, and a decoder that writes.

    Raises ValueError where they are to share a table that does not fit both.
    """

    def __init__(self, backbone: Any, head: TextDecoder):
        super().__init__()
        self.backbone: Any = backbone
        self.head = head
        if head.shared_table:
            own = getattr(backbone, "table", None)
            found = None if own is None else tuple(own.weight.shape)
            wanted = (head.vocabulary, head.blocks.dim)
            if found != wanted:
                raise ValueError(
                    f"head.shared_table wants embeddings of the shape {wanted} in the backbone and "
                    f"found {found}. Make backbone.dim and head.blocks.dim equal, or set "
                    "head.shared_table=false."
                )

    def forward(
        self, source: Tensor, target: Int[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """`target` begins with the start token; the answer is shifted by one against it."""
        return self.continued(target, self.read(source))

    def read(self, source: Tensor) -> Context:
        """What the decoder looks at."""
        features = self.backbone(source)
        if features.prefix.shape[1]:
            return torch.cat([features.prefix, features.patches], dim=1), features.mask
        return features.patches, features.mask

    def continued(
        self,
        target: Int[Tensor, "batch tokens"],
        context: Context,
        memory: list[BlockMemory] | None = None,
        *,
        last: bool = False,
    ) -> Float[Tensor, "batch target vocabulary"]:
        """After each token, or with `last` after the last alone, the logits of the next.

        With a memory, `target` follows what it saw.
        """
        tokens, mask = context
        if memory and memory[0].context.length:
            tokens = tokens[:, :0]  # its keys and values are in the memory
        table = self.backbone.table.weight if self.head.shared_table else None
        return self.head(target, tokens, mask, table=table, memory=memory, last=last)

    def memory(self) -> list[BlockMemory]:
        """An empty one, to be filled by `continued`."""
        return [BlockMemory() for _ in self.head.blocks.blocks]

    def flops(self, *size: int) -> int:
        """Matrix products of one forward pass for one pair; one multiply and add are two.

        `size` are the source's tokens, or an image's height and width; and the target's tokens.
        """
        *source, target = size
        seen = source[0]
        if len(source) == 2:
            grid = self.backbone.grid(*source)
            seen = grid.rows * grid.cols + self.backbone.num_prefix
        return self.backbone.flops(*source) + self.head.flops(target, seen)

    def depths(self) -> dict[str, int]:
        """For each parameter, how deep it lies; the decoder begins where the backbone ends."""
        depths = {f"backbone.{name}": at for name, at in self.backbone.depths().items()}
        first, last = deepest(self.backbone), self.head.blocks.depth + 1
        inside = self.head.blocks.depths()
        for name, _ in self.head.named_parameters():
            at = inside[name.removeprefix("blocks.")] if name.startswith("blocks.") else last
            depths[f"head.{name}"] = first + at
        return depths

    def shards(self) -> list[nn.Module]:
        return [*self.backbone.shards(), *self.head.blocks.shards()]

    def no_weight_decay(self) -> set[str]:
        """The names of parameters that weight decay leaves alone."""
        decoder = {f"head.blocks.{name}" for name in self.head.blocks.no_weight_decay()}
        vectors = {
            f"head.{name}" for name, parameter in self.head.named_parameters() if parameter.ndim < 2
        }
        return decoder | vectors | {f"backbone.{name}" for name in self.backbone.no_weight_decay()}
