"""One transformer block."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.attention import Rotate
from vit.layers.drop_path import DropPath
from vit.layers.layer_scale import LayerScale
from vit.layers.parts import AttentionPart, MlpPart, NormPart


class Block(nn.Module):
    """Pre-norm: x + attention(norm(x)), then x + mlp(norm(x)).

    The attention and the mlp come built; `norm` is called with `dim` twice. `layer_scale` is the
    starting gain of each branch and `drop_path` the rate at which a sample goes without it; None
    and 0 leave no module behind.
    """

    def __init__(
        self,
        dim: int,
        attention: AttentionPart,
        mlp: MlpPart,
        norm: Callable[[int], NormPart],
        *,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.norm1 = norm(dim)
        self.attention = attention
        self.scale1 = None if layer_scale is None else LayerScale(dim, layer_scale)
        self.norm2 = norm(dim)
        self.mlp = mlp
        self.scale2 = None if layer_scale is None else LayerScale(dim, layer_scale)
        self.drop_path = DropPath(drop_path) if drop_path else None

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        rotate: Rotate | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Masks as in `vit.layers.softmax_attention.attention`."""
        # Nothing is named but x: what a name holds, the memory of the next product cannot reuse.
        x = x + self._branch(
            self.attention(self.norm1(x), mask=mask, causal=causal, rotate=rotate), self.scale1
        )
        return x + self._branch(self.mlp(self.norm2(x)), self.scale2)

    def flops(self, tokens: int) -> int:
        """Of one forward pass for one image; a multiplication and an addition are two."""
        return self.attention.flops(tokens) + self.mlp.flops(tokens)

    def _branch(self, y: Tensor, scale: nn.Module | None) -> Tensor:
        if scale is not None:
            y = scale(y)
        return y if self.drop_path is None else self.drop_path(y)
