"""A linear layer that stays as it is and learns a change of low rank beside it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class LoraLinear(nn.Linear):
    """x Wᵀ + b + scale · dropout(x) Aᵀ Bᵀ, of which A and B are trained.

    It takes the place of a `layer`, with its very weight and bias, so that their names in a state
    dict stay. Where the layer makes several things at once, as a fused matrix makes queries, keys
    and values, its outputs fall into `of` equal parts and only the `parts` named are changed, each
    by an A and a B of its own. B starts at 0: until it is trained the layer answers as before.

    Shapes: `lora_a` [len(parts) · rank, inputs], `lora_b` [len(parts) · outputs / of, rank].

    Source: Hu et al. 2021, arXiv:2106.09685, eq. 3; A starts as in the authors' code.
    """

    def __init__(
        self,
        layer: nn.Linear,
        parts: tuple[int, ...] = (0,),
        of: int = 1,
        *,
        rank: int,
        scale: float,
        dropout: float = 0.0,
    ):
        nn.Module.__init__(self)  # not Linear's: it would make weights only to drop them
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.parts, self.of = parts, of
        self.rank, self.scale, self.dropout = rank, scale, dropout
        rows = layer.out_features // of
        self.lora_a = nn.Parameter(layer.weight.new_empty(len(parts) * rank, layer.in_features))
        self.lora_b = nn.Parameter(layer.weight.new_zeros(len(parts) * rows, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*axes inputs"]) -> Float[Tensor, "*axes outputs"]:
        low = F.linear(F.dropout(x, self.dropout, self.training), self.lora_a)
        changes = [
            F.linear(a, b)
            for a, b in zip(
                low.split(self.rank, -1), self.lora_b.chunk(len(self.parts)), strict=True
            )
        ]
        if self.of > 1:
            nothing = torch.zeros_like(changes[0])
            by_part = dict(zip(self.parts, changes, strict=True))
            changes = [by_part.get(part, nothing) for part in range(self.of)]
        change = torch.cat(changes, -1) if len(changes) > 1 else changes[0]
        return F.linear(x, self.weight, self.bias) + self.scale * change

    def plain(self) -> nn.Linear:
        """A linear layer of the same function (but for dropout), its weight a new tensor."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        merged = merged_weight(
            self.weight, self.lora_a, self.lora_b, self.parts, self.of, self.scale
        )
        layer.weight = nn.Parameter(merged)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach())
        return layer.train(self.training)


@torch.no_grad()
def merged_weight(
    weight: Float[Tensor, "outputs inputs"],
    a: Float[Tensor, "low inputs"],
    b: Float[Tensor, "changed rank"],
    parts: tuple[int, ...],
    of: int,
    scale: float,
) -> Float[Tensor, "outputs inputs"]:
    """The weight with the change of low rank added to the rows of its parts; see `LoraLinear`."""
    rows = list(weight.detach().clone().chunk(of))
    changes = zip(parts, a.chunk(len(parts)), b.chunk(len(parts)), strict=True)
    for part, low, high in changes:
        rows[part] += scale * (high @ low)
    return torch.cat(rows)
