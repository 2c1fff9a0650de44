"""From the tokens of an image to one vector.

Every part here is called as `pool(dim=…)` and answers `pool(patches, prefix)`, or with a mask
`pool(patches, prefix, mask)`, which is false where a token only fills up a shorter text.
`needs_class_token` lets a model refuse a backbone that has none.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.attention import Attention, check_heads
from vit.layers.mlp import Mlp
from vit.layers.norm import LayerNorm


class MeanPool(nn.Module):
    """The mean of the patch tokens; prefix tokens stay out."""

    needs_class_token = False

    def __init__(self, dim: int):
        super().__init__()

    def forward(
        self,
        patches: Float[Tensor, "batch tokens dim"],
        prefix: Float[Tensor, "batch prefix dim"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        if mask is None:
            return patches.mean(1)
        kept = mask[:, :, None].to(patches.dtype)
        return (patches * kept).sum(1) / kept.sum(1).clamp(min=1)

    def flops(self, tokens: int) -> int:
        return 0


class ClsPool(nn.Module):
    """The class token, which is the first of the prefix tokens."""

    needs_class_token = True

    def __init__(self, dim: int):
        super().__init__()

    def forward(
        self,
        patches: Float[Tensor, "batch tokens dim"],
        prefix: Float[Tensor, "batch prefix dim"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        return prefix[:, 0]

    def flops(self, tokens: int) -> int:
        return 0


class AttentionPool(nn.Module):
    """A learned query attends to the patch tokens, then an mlp with a residual.

    Args:
        heads: of its attention; they divide the tokens' width.
        mlp_ratio: hidden width of its mlp over the tokens' width.

    Source: the multi-head attention pooling of Zhai et al. 2022, arXiv:2106.04560.
    """

    needs_class_token = False

    def __init__(self, dim: int, *, heads: int = 4, mlp_ratio: float = 4.0):
        super().__init__()
        check_heads(dim, heads, "head.pool.heads")
        self.probe = nn.Parameter(torch.zeros(1, 1, dim))
        self.attention = Attention(dim, heads, context_dim=dim)
        self.norm = LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        nn.init.trunc_normal_(self.probe, std=0.02)

    def forward(
        self,
        patches: Float[Tensor, "batch tokens dim"],
        prefix: Float[Tensor, "batch prefix dim"],
        mask: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        seen = None if mask is None else mask[:, None, None]
        x = self.attention(self.probe.expand(len(patches), -1, -1), patches, seen)
        x = x + self.mlp(self.norm(x))
        return x[:, 0]

    def flops(self, tokens: int) -> int:
        return self.attention.flops(1, tokens) + self.mlp.flops(1)
