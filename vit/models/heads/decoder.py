"""One layer of a detection decoder."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.attention import Attention
from vit.layers.norm import LayerNorm
from vit.models.heads.parts import ReluMlp, start_by_xavier


class DecoderLayer(nn.Module):
    """Queries attend to one another, then to the image, then an mlp; a norm follows each.

    `cross` attends to the image; it comes built, and is called as
    `cross(x, position=position, **seen)`.

    Source: Carion et al. 2020 (DETR), arXiv:2005.12872.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, cross: nn.Module, *, dropout: float = 0.0
    ):
        super().__init__()
        self.attention = Attention(width, heads)
        self.cross: Any = cross
        self.mlp = ReluMlp(width, hidden, width, layers=2)
        self.norm1, self.norm2, self.norm3 = (LayerNorm(width, eps=1e-5) for _ in range(3))
        self.dropout = dropout
        for part in (self.attention, self.mlp):
            start_by_xavier(part)

    def forward(
        self,
        x: Float[Tensor, "batch queries width"],
        position: Float[Tensor, "#batch queries width"],
        *,
        groups: int = 1,
        sees: Tensor | None = None,
        **seen: Any,
    ) -> Float[Tensor, "batch queries width"]:
        """Queries of different groups, which lie one after the other, do not see one another.

        Where they lie otherwise, `sees` is a mask (as in `attention`) and `groups` is 1.
        """
        x = self.norm1(x + self._dropped(self._among(x, position, groups, sees)))
        x = self.norm2(x + self._dropped(self.cross(x, position=position, **seen)))
        return self.norm3(x + self._dropped(self.mlp(x)))

    def flops(self, queries: int, tokens: int, groups: int = 1) -> int:
        """Of one forward pass for one image with `queries` in each group."""
        among = groups * self.attention.flops(queries)
        return among + self.cross.flops(groups * queries, tokens) + self.mlp.flops(groups * queries)

    def _among(self, x: Tensor, position: Tensor, groups: int, sees: Tensor | None) -> Tensor:
        if groups == 1:
            return self.attention(x, position=position, mask=sees)
        assert sees is None
        shape = x.shape
        each = x.unflatten(1, (groups, -1)).flatten(0, 1)
        position = position.expand(shape).unflatten(1, (groups, -1)).flatten(0, 1)
        return self.attention(each, position=position).reshape(shape)

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


def plain_layer(width: int, heads: int, hidden: int, dropout: float) -> DecoderLayer:
    """A layer whose queries attend to all tokens of a context as wide as themselves."""
    cross = Attention(width, heads, context_dim=width)
    start_by_xavier(cross)
    return DecoderLayer(width, heads, hidden, cross, dropout=dropout)
