"""A learned gain on a residual branch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LayerScale(nn.Module):
    """Multiplies each channel by its own gain, which starts small.

    Source: Touvron et al. 2021 (CaiT), arXiv:2103.17239.
    """

    def __init__(self, dim: int, start: float):
        super().__init__()
        self.gain = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
        return x * self.gain
