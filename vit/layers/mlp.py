"""The token-wise half of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.linear import Start, linear
from vit.layers.parts import NormPart

Gelu = Literal["exact", "tanh", "quick"]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them.

    `gelu` is the exact function by default, as in timm, torchvision and Hugging Face's ViT;
    weights from Flax (big_vision, SigLIP) were trained with the tanh approximation, OpenAI's CLIP
    with x·sigmoid(1.702x) ("quick"). `start` says how weights start: see vit.layers.linear.

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
        gelu: Gelu = "exact",
        start: Start = "normal",
    ):
        super().__init__()
        self.fc1 = linear(dim, hidden, bias=bias, start=start)
        self.fc2 = linear(hidden, dim, bias=bias, start=start)
        self.dropout = dropout
        self.gelu = gelu

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
        x = self._activated(self.fc1(x))
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        x = self.fc2(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def _activated(self, x: Tensor) -> Tensor:
        if self.gelu == "quick":
            return x * (1.702 * x).sigmoid()
        return F.gelu(x, approximate="tanh" if self.gelu == "tanh" else "none")

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
        width: its hidden width itself, where weights of others have another; None for the rule.
        norm: what normalises the hidden values before the projection, as in EVA-02.

    Source: Shazeer 2020, arXiv:2002.05202; rounding as in DINOv2.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        width: int | None = None,
        norm: Callable[[int], NormPart] | None = None,
    ):
        super().__init__()
        self.hidden = (int(hidden * 2 / 3) + 7) // 8 * 8 if width is None else width
        self.gate_value = linear(dim, 2 * self.hidden, bias=bias)
        self.norm = None if norm is None else norm(self.hidden)
        self.fc2 = linear(self.hidden, dim, bias=bias)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
        gate, value = self.gate_value(x).chunk(2, dim=-1)
        x = F.silu(gate) * value
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        if self.norm is not None:
            x = self.norm(x)
        x = self.fc2(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def flops(self, tokens: int) -> int:
        """Of one forward pass over `tokens` tokens; a multiplication and an addition are two."""
        return 6 * tokens * self.fc2.out_features * self.hidden
