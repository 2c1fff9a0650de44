"""The token-wise half of a block."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.linear import Start, linear


class Mlp(nn.Module):
    """Two linear layers with a GELU between them.

    `gelu` is the exact function by default, as in timm, torchvision and Hugging Face's ViT;
    weights from Flax (big_vision, SigLIP) were trained with the tanh approximation. `start` says
    how weights start: see vit.layers.linear.

    Args:
        bias: whether its matrices have biases.
        dropout: rate, in training, behind each of the two steps.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        gelu: Literal["exact", "tanh"] = "exact",
        start: Start = "normal",
    ):
        super().__init__()
        self.fc1 = linear(dim, hidden, bias=bias, start=start)
        self.fc2 = linear(hidden, dim, bias=bias, start=start)
        self.dropout = dropout
        self.approximate = "tanh" if gelu == "tanh" else "none"

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
        x = F.gelu(self.fc1(x), approximate=self.approximate)
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        x = self.fc2(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def flops(self, tokens: int) -> int:
        """Of one forward pass over `tokens` tokens; a multiplication and an addition are two."""
        return 4 * tokens * self.fc1.in_features * self.fc1.out_features


class SwiGlu(nn.Module):
    """A gated unit: silu(gate(x)) * value(x), then a projection.

    Three matrices instead of two: the hidden width is two thirds of the `hidden` asked for,
    rounded up to a multiple of 8, so that parameters and FLOPs stay those of `Mlp`. With
    LayerScale it gates twice; ViT-5 found that to hurt.

    Args:
        bias: whether its matrices have biases.
        dropout: rate, in training, behind each of the two steps.

    Source: Shazeer 2020, arXiv:2002.05202; rounding as in DINOv2.
    """

    def __init__(self, dim: int, hidden: int, *, bias: bool = True, dropout: float = 0.0):
        super().__init__()
        self.hidden = (int(hidden * 2 / 3) + 7) // 8 * 8
        self.gate_value = linear(dim, 2 * self.hidden, bias=bias)
        self.fc2 = linear(self.hidden, dim, bias=bias)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
        gate, value = self.gate_value(x).chunk(2, dim=-1)
        x = F.silu(gate) * value
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        x = self.fc2(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def flops(self, tokens: int) -> int:
        """Of one forward pass over `tokens` tokens; a multiplication and an addition are two."""
        return 6 * tokens * self.fc2.out_features * self.hidden
