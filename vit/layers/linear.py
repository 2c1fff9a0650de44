"""The linear layer as transformers start it."""

from __future__ import annotations

from torch import nn


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer with weights of deviation 0.02 and a bias of zero.

    The normal is truncated at ±2 in absolute terms, as in timm and DeiT: in effect, not at all.
    """
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
