"""Small pieces that several heads share."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

# Every class starts at a probability of 0.01, so that the many queries that find nothing do not
# drown the first steps. Source: Lin et al. 2017 (focal loss), arXiv:1708.02002.
RARE = -math.log(99)


class ReluMlp(nn.Module):
    """Linear layers with ReLU between them, as the detection transformers have it."""

    def __init__(self, dim: int, hidden: int, outputs: int, *, layers: int = 3):
        super().__init__()
        widths = [dim, *[hidden] * (layers - 1), outputs]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes outputs"]:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)

    def flops(self, tokens: int) -> int:
        """Of one forward pass over `tokens` tokens; a multiplication and an addition are two."""
        return 2 * tokens * sum(layer.get_parameter("weight").numel() for layer in self.layers)


def class_layer(width: int, classes: int, no_object: bool = False) -> nn.Linear:
    """The logits' layer, with a column more for "no object", or else with every class rare."""
    layer = nn.Linear(width, classes + no_object)
    nn.init.constant_(layer.bias, 0.0 if no_object else RARE)
    return layer


def still_box_mlp(width: int) -> ReluMlp:
    """An mlp for `moved` that starts by leaving every box where it is."""
    mlp = ReluMlp(width, width, 4)
    for parameter in mlp.layers[-1].parameters():
        nn.init.zeros_(parameter)
    return mlp


def moved(
    boxes_cxcywh: Float[Tensor, "*axes 4"], change: Float[Tensor, "*axes 4"]
) -> Float[Tensor, "*axes 4"]:
    """Boxes shifted by parts of their own size and stretched by the exponential, in float32.

    Source: Lin et al. 2023 (Plain-DETR), arXiv:2308.01904, its box reparameterisation.
    """
    (centre, size), (shift, stretch) = boxes_cxcywh.chunk(2, -1), change.float().chunk(2, -1)
    return torch.cat([shift * size + centre, stretch.exp() * size], dim=-1)


def sines(
    coordinates: Float[Tensor, "*axes coordinates"], features: int
) -> Float[Tensor, "*axes channels"]:
    """Fractions as `features` sines and cosines each, y before x, in DETR's order.

    Wavelengths go from 1 to 10,000 images. Source: Carion et al. 2020 (DETR), arXiv:2005.12872.
    """
    steps = torch.arange(features // 2, dtype=torch.float32, device=coordinates.device)
    angles = coordinates[..., None] * (2 * math.pi) / 10_000 ** (2 * steps / features)
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    x, y, *rest = waves.unbind(-2)
    return torch.cat([y, x, *rest], dim=-1)


def start_by_xavier(module: nn.Module) -> None:
    """As the detection transformers start: after norms of unit scale, weights of Glorot's scale."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)


def check_counts(**counts: int) -> None:
    """Raises ValueError, telling all keys of a head that should be at least 1 and are not."""
    wrong = [f"head.{name}={count}" for name, count in counts.items() if count < 1]
    if wrong:
        raise ValueError(f"{' and '.join(wrong)}: must be at least 1. Change conf/head.")


def check_width(width: int, **heads: int) -> None:
    """Raises ValueError unless `width` divides by every number of heads and, for `sines`, by 4."""
    check_counts(width=width, **heads)
    for name, divisor in {**{f"head.{key}": count for key, count in heads.items()}, "4": 4}.items():
        if width % divisor:
            near = math.lcm(4, *heads.values())
            raise ValueError(
                f"head.width={width} does not divide by {name}"
                f"{'' if name == '4' else f'={divisor}'}. "
                f"Set head.width={max(1, round(width / near)) * near}, or change the heads."
            )


def undecayed(module: nn.Module, *learned: str) -> set[str]:
    """Biases, norms and gains, and the tensors `learned` one vector at a time."""
    return {
        name
        for name, parameter in module.named_parameters()
        if parameter.ndim < 2 or name in learned
    }
