"""The transformer for sequences: an encoder of texts, and models made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vit.layers.attention import Attention, check_heads
from vit.layers.kv_cache import BlockMemory
from vit.layers.mlp import Mlp
from vit.layers.norm import LayerNorm
from vit.layers.parts import AttentionPart, MlpPart, NormPart, TokenPositionPart
from vit.layers.sequence_block import SequenceBlock
from vit.layers.sequence_position import SinusoidalPosition
from vit.models.backbone_head import BackboneHead, block_depths, vectors_and
from vit.models.backbone_keys import build_part
from vit.models.contract import complete_head
from vit.structures import PAD, Features, Grid


class TokenTransformer(nn.Module):
    """Tokens through transformer blocks: an encoder, or with `context_dim` a decoder.

    A decoder's tokens see themselves and those before them, and all of a context of that width;
    an encoder's see one another. Sequences are filled up at their end with the token `pad`, which
    an encoder leaves out everywhere.

    `length` is the most tokens of a training sequence. The parts `position`, `norm`, `mlp` and
    `attention` are called with what is known here (see their files); all but `position` are those
    of the image backbones. `pre_norm` puts the norms before the branches and one after the last
    block, otherwise each comes after its sum, as in the founding article; `final_norm` decides on
    the last one apart. `embedding_scale` multiplies embeddings by √dim, `embedding_norm` normalises
    them with their positions. Without `own_table` the embeddings are passed to `forward`.

    Args:
        dim: width of the tokens.
        depth: number of blocks.
        heads: of the attention of each block; they divide `dim`.
        mlp_ratio: hidden width of each block's mlp over `dim`.
        qkv_bias: whether queries, keys and values have biases.
        key_bias: whether the keys have one, where the others do; DINOv3's have none.
        proj_bias: whether the projection after the attention has one.
        mlp_bias: whether the mlp has them.
        qk_norm: normalise queries and keys, head by head.
        layer_scale: start of a learned scale a channel that each branch is multiplied by; None for
            no such scale.
        drop_path: rate at which the last block leaves a branch out for a sample, in training; it
            rises from 0 in the first.
        dropout: rate behind the positions, each attention and in each mlp, in training.
        attention_dropout: rate of attention weights left out, in training.

    Raises ValueError where sizes do not divide, or a rate is out of range.
    """

    has_class_token = False
    num_prefix = 0

    def __init__(
        self,
        vocabulary: int,
        length: int,
        context_dim: int | None = None,
        own_table: bool = True,
        pad: int = PAD,
        *,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        position: Callable[..., TokenPositionPart] = SinusoidalPosition,
        norm: Callable[..., NormPart] = LayerNorm,
        mlp: Callable[..., MlpPart] = Mlp,
        attention: Callable[..., AttentionPart] = Attention,
        mlp_ratio: float = 4.0,
        pre_norm: bool = True,
        final_norm: bool | None = None,
        embedding_scale: bool = False,
        embedding_norm: bool = False,
        qkv_bias: bool = True,
        key_bias: bool = True,
        proj_bias: bool = True,
        mlp_bias: bool = True,
        qk_norm: bool = False,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        hidden = int(dim * mlp_ratio)
        if min(vocabulary, length, dim, depth, hidden) < 1:
            raise ValueError(
                f"vocabulary={vocabulary}, length={length}, dim={dim}, depth={depth} and "
                f"dim·mlp_ratio={hidden} must be at least 1. Change them under backbone or head."
            )
        check_heads(dim, heads)
        for name, rate in (("dropout", dropout), ("attention_dropout", attention_dropout)):
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"{name} is {rate}; it must be at least 0 and less than 1.")
        self.dim, self.depth, self.heads, self.length, self.pad = dim, depth, heads, length, pad
        self.vocabulary, self.dropout, self.causal = vocabulary, dropout, context_dim is not None
        self.scale = dim**0.5 if embedding_scale else 1.0
        self.table = None
        if own_table:
            self.table = nn.Embedding(vocabulary, dim)
            # As linear layers, but where √dim multiplies it and would drown the positions.
            nn.init.normal_(self.table.weight, std=dim**-0.5 if embedding_scale else 0.02)
        self.position = build_part("position", position, dim=dim, heads=heads, length=length)
        self.embedding_norm = norm(dim) if embedding_norm else None

        def attending(context: int | None) -> AttentionPart:
            return build_part(
                "attention",
                attention,
                dim=dim,
                heads=heads,
                context_dim=context,
                qkv_bias=qkv_bias,
                key_bias=key_bias,
                proj_bias=proj_bias,
                qk_norm=norm if qk_norm else None,
                dropout=attention_dropout,
                proj_dropout=dropout,
            )

        self.blocks: Any = nn.ModuleList(
            SequenceBlock(
                dim,
                attending(None),
                build_part("mlp", mlp, dim=dim, hidden=hidden, bias=mlp_bias, dropout=dropout),
                norm,
                cross=None if context_dim is None else attending(context_dim),
                pre_norm=pre_norm,
                layer_scale=layer_scale,
                drop_path=drop_path * number / max(1, depth - 1),
            )
            for number in range(depth)
        )
        self.norm = norm(dim) if (pre_norm if final_norm is None else final_norm) else None

    def forward(
        self,
        tokens: Int[Tensor, "batch tokens"],
        context: Float[Tensor, "batch context context_dim"] | None = None,
        context_mask: Bool[Tensor, "batch seen"] | None = None,
        *,
        table: Float[Tensor, "vocabulary dim"] | None = None,
        memory: list[BlockMemory] | None = None,
    ) -> Features:
        """`context_mask` is false where the context only fills up.

        With a `memory`, one for each block, `tokens` follow those that it holds, and what it holds
        of the context need not be passed again, but for the mask.
        """
        start = memory[0].tokens.length if memory else 0
        mask = None if self.causal else tokens != self.pad
        given = {
            "mask": self._later_hidden(tokens, start) if mask is None else mask[:, None, None],
            "context_mask": None if context_mask is None else context_mask[:, None, None],
            "causal": self.causal and not start,
            "rotate": self.position.rotation(start, start + tokens.shape[1]),
        }
        x = self.embed(tokens, start, table)
        for number, block in enumerate(self.blocks):
            x = block(x, context, **given, memory=None if memory is None else memory[number])
        if self.norm is not None:
            x = self.norm(x)
        return Features(x, Grid(1, x.shape[1]), x[:, :0], mask=mask)

    def embed(
        self, tokens: Int[Tensor, "batch tokens"], start: int = 0, table: Tensor | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Tokens with their positions, the first of them at `start`."""
        if self.table is not None:
            table = self.table.weight
        assert table is not None, "a transformer without own_table wants one passed in"
        x = F.embedding(tokens, table)
        x = self.position(x * self.scale if self.scale != 1.0 else x, start)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        # A table that tuning has frozen is in evaluation mode, and then nothing of it is dropped.
        training = self.training if self.table is None else self.table.training
        return F.dropout(x, self.dropout, training) if self.dropout else x

    def flops(self, tokens: int, context_tokens: int = 0) -> int:
        """Matrix products of one forward pass for one sequence; one multiply and add are two."""
        return sum(block.flops(tokens, context_tokens) for block in self.blocks)

    def depths(self) -> dict[str, int]:
        """How deep each parameter lies: 0 the embeddings, 1…depth the blocks, then the norm."""
        return block_depths(self, self.depth)

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.blocks)

    def no_weight_decay(self) -> set[str]:
        """Biases, norms, gains, and embeddings and positions, which are learned one by one."""
        return vectors_and(self, ("table", "position"))

    def _later_hidden(self, tokens: Tensor, start: int) -> Tensor | None:
        """What `causal` cannot say where more keys than queries are seen; None for one token."""
        new = tokens.shape[1]
        if not start or new == 1:
            return None
        seen = torch.ones(new, start + new, dtype=torch.bool, device=tokens.device)
        return seen.tril(start)


class TextClassifier(BackboneHead):
    """From tokens to logits, one for each class."""

    def __init__(self, backbone: Any, head: Any):
        complete_head(head, backbone, drives=False)
        pool = getattr(head, "pool", None)
        if getattr(pool, "needs_class_token", False) and not backbone.has_class_token:
            raise ValueError("the head pools a class token and texts have none; head/pool=mean.")
        super().__init__(backbone, head)

    def forward(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.backbone(tokens))

    def flops(self, tokens: int) -> int:
        """Matrix products of one forward pass for one text of so many tokens."""
        return self.backbone.flops(tokens) + self.head.flops(tokens)
