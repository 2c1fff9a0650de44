"""One block of a transformer for sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.attention import Rotate
from vit.layers.drop_path import DropPath
from vit.layers.kv_cache import BlockMemory
from vit.layers.layer_scale import LayerScale
from vit.layers.parts import AttentionPart, MlpPart, NormPart


class SequenceBlock(nn.Module):
    """Tokens attend to one another, with `cross` to a context as well, then an mlp.

    `Block` with two things more that sequence models have: the attention to a context, and a norm
    that may follow each sum (`pre_norm=False`, as in the founding article) and not precede each
    branch. The attentions and the mlp come built; `norm` is called with `dim` for each.
    """

    def __init__(
        self,
        dim: int,
        attention: AttentionPart,
        mlp: MlpPart,
        norm: Callable[[int], NormPart],
        *,
        cross: AttentionPart | None = None,
        pre_norm: bool = True,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.pre_norm = pre_norm

        def scale() -> nn.Module | None:
            return None if layer_scale is None else LayerScale(dim, layer_scale)

        self.norm1 = norm(dim)
        self.attention = attention
        self.scale1 = scale()
        self.cross: Any = cross
        self.cross_norm = None if cross is None else norm(dim)
        self.cross_scale = None if cross is None else scale()
        self.norm2 = norm(dim)
        self.mlp = mlp
        self.scale2 = scale()
        self.drop_path = DropPath(drop_path) if drop_path else None

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        context: Float[Tensor, "batch context context_dim"] | None = None,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        *,
        causal: bool = False,
        rotate: Rotate | None = None,
        memory: BlockMemory | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """`mask` says which tokens, `context_mask` what of the context may be attended to.

        Masks as in `vit.layers.softmax_attention.attention`, memories as in `vit.layers.kv_cache`.
        """
        own = None if memory is None else memory.tokens
        among = {"mask": mask, "causal": causal, "rotate": rotate, "memory": own}
        x = self._after(x, self.norm1, self.scale1, self.attention, **among)
        if self.cross is not None:
            theirs = None if memory is None else memory.context
            seen = {"context": context, "mask": context_mask, "memory": theirs}
            x = self._after(x, self.cross_norm, self.cross_scale, self.cross, **seen)
        return self._after(x, self.norm2, self.scale2, self.mlp)

    def flops(self, tokens: int, context_tokens: int = 0) -> int:
        """Of one forward pass for one sequence; a multiplication and an addition are two."""
        cross = 0 if self.cross is None else self.cross.flops(tokens, context_tokens)
        return self.attention.flops(tokens) + cross + self.mlp.flops(tokens)

    def _after(self, x: Tensor, norm: Any, scale: Any, branch: Any, **given: Any) -> Tensor:
        """The sum with a branch, and the norm at its place."""
        y = branch(norm(x) if self.pre_norm else x, **given)
        if scale is not None:
            y = scale(y)
        if self.drop_path is not None:
            y = self.drop_path(y)
        return x + y if self.pre_norm else norm(x + y)
