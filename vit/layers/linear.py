"""The linear layer as transformers start it."""

from __future__ import annotations

from typing import Literal

from torch import nn

Start = Literal["normal", "glorot"]


def linear(inputs: int, outputs: int, *, bias: bool = True, start: Start = "normal") -> nn.Linear:
    """A linear layer with a bias of zero and weights of deviation 0.02.

    The normal is truncated at ±2 in absolute terms, as in timm and DeiT: in effect, not at all.
    "glorot" starts uniformly with a deviation of √(2 / (inputs + outputs)) instead. That is 0.02 at
    a width of 2,500 and six times as much at 64, where a model may stand still for long without
    (experiments/0018_digit_captions).

    Source: Glorot and Bengio 2010, AISTATS, PMLR 9:249.
    """
    layer = nn.Linear(inputs, outputs, bias=bias)
    if start == "glorot":
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.trunc_normal_(layer.weight, std=0.02)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
