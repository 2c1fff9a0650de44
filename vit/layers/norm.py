"""Normalisation over the last axis."""

from __future__ import annotations

from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """torch's LayerNorm with the epsilon of the vision-transformer papers, 1e-6.

    torch's own default is 1e-5; Hugging Face's ViT uses 1e-12, its DINOv3 1e-5. Weights trained
    under one epsilon give other numbers under another, so it is a key of the config.

    Args:
        eps: added to the variance, so that a token of equal values stays finite.
        bias: whether it has one, beside its scale.
    """

    def __init__(self, dim: int, *, eps: float = 1e-6, bias: bool = True):
        super().__init__(dim, eps=eps, bias=bias)


class RMSNorm(nn.RMSNorm):
    """LayerNorm without centring and without bias.

    Args:
        eps: added to the mean square, so that a token of zeros stays finite.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467.
    """

    def __init__(self, dim: int, *, eps: float = 1e-6):
        super().__init__(dim, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        # Under autocast queries and keys come in bfloat16, which torch's kernel does not take
        # together with weights in float32; its LayerNorm widens by itself.
        return super().forward(x.to(self.weight.dtype))
