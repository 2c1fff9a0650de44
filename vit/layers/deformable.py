"""Attention that looks at a few places around a box instead of everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.linear import linear


def sampled(
    values: Float[Tensor, "batch tokens heads head_dim"],
    grids: Sequence[tuple[int, int]],
    places: Float[Tensor, "batch queries heads levels points 2"],
    weights: Float[Tensor, "batch queries heads levels points"],
) -> Float[Tensor, "batch queries dim"]:
    """The weighted sum of what lies at `places`, read bilinearly; zeros lie outside the image.

    `values` are the maps of all levels, one after the other, each row-major over its grid of
    (rows, cols). Places are (x, y) in fractions of the image, where 0 and 1 are its edges and not
    the centres of the outermost tokens.

    Source: Zhu et al. 2020 (Deformable DETR), arXiv:2010.04159.
    """
    batch, _, heads, head_dim = values.shape
    # Heads join the batch: [batch·heads, queries, levels, points, 2] and without the 2.
    places = 2 * places.transpose(1, 2).flatten(0, 1) - 1
    weights = weights.transpose(1, 2).flatten(0, 1)
    total = values.new_zeros(())
    maps = values.split([rows * cols for rows, cols in grids], dim=1)
    for level, ((rows, cols), part) in enumerate(zip(grids, maps, strict=True)):
        part = part.permute(0, 2, 3, 1).reshape(batch * heads, head_dim, rows, cols)
        read = F.grid_sample(part, places[:, :, level], align_corners=False)
        # read is [batch·heads, head_dim, queries, points]
        total = total + (read * weights[:, None, :, level]).sum(-1)
    return total.unflatten(0, (batch, heads)).flatten(1, 2).transpose(1, 2)


class DeformableAttention(nn.Module):
    """Each query reads `points` places a head and level near its box and weighs what it finds.

    An offset of 1 moves a place by half the box's size over the number of points: point p of P
    starts p/P of the way to the box's edge, in a direction of its head's own. Pure PyTorch, by
    `grid_sample`.

    Raises ValueError where `heads` does not divide `dim`.

    Source: Zhu et al. 2020 (Deformable DETR), arXiv:2010.04159.
    """

    def __init__(self, dim: int, heads: int, *, levels: int = 1, points: int = 4):
        super().__init__()
        if heads < 1 or dim % heads or min(levels, points) < 1:
            raise ValueError(
                f"deformable attention of dim={dim} does not divide into heads={heads}, or "
                f"levels={levels} and points={points} are not at least 1. Change these."
            )
        self.heads, self.levels, self.points = heads, levels, points
        self.offsets = linear(dim, heads * levels * points * 2)
        self.weights = linear(dim, heads * levels * points)
        self.value = linear(dim, dim)
        self.proj = linear(dim, dim)
        self.start()

    def start(self) -> None:
        """The published start: all points weigh the same and lie on rays, one ray a head."""
        angles = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        rays = torch.stack([angles.cos(), angles.sin()], dim=-1)  # [heads, 2]
        rays = rays / rays.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)[:, None]  # [points, 1]
        rays = (rays[:, None, None] * steps).expand(-1, self.levels, -1, -1)
        with torch.no_grad():
            self.offsets.bias.copy_(rays.flatten())
        for layer in (self.value, self.proj):
            nn.init.xavier_uniform_(layer.weight)
        for tensor in (self.offsets.weight, self.weights.weight):
            nn.init.zeros_(tensor)

    def forward(
        self,
        x: Float[Tensor, "batch queries dim"],
        tokens: Float[Tensor, "batch tokens dim"],
        grids: Sequence[tuple[int, int]],
        boxes_cxcywh: Float[Tensor, "batch queries 4"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
        *,
        position: Tensor | None = None,
    ) -> Float[Tensor, "batch queries dim"]:
        """Reads `tokens` (all levels, as in `sampled`) near the boxes, fractions of the image.

        Tokens that are not `valid` count as zeros. `position` is added to the queries.
        """
        x = x if position is None else x + position
        values = self.value(tokens)
        if valid is not None:
            values = values.masked_fill(~valid[..., None], 0.0)
        places, weights = self.looks(x, boxes_cxcywh)
        values = values.float().unflatten(-1, (self.heads, -1))
        read = sampled(values, grids, places, weights)
        return self.proj(read.to(x.dtype))

    def looks(
        self,
        x: Float[Tensor, "batch queries dim"],
        boxes_cxcywh: Float[Tensor, "batch queries 4"],
    ) -> tuple[
        Float[Tensor, "batch queries heads levels points 2"],
        Float[Tensor, "batch queries heads levels points"],
    ]:
        """Where queries (with their position) read, as in `sampled`, and how much each counts."""
        axes = (self.heads, self.levels, self.points)
        # Places and what is read there in float32: bfloat16 tells 256 places from one another.
        offsets = self.offsets(x).unflatten(-1, (*axes, 2))
        weights = self.weights(x).float().unflatten(-1, (self.heads, -1)).softmax(-1)
        centre, size = boxes_cxcywh[:, :, None, None, None].float().chunk(2, dim=-1)
        places = centre + offsets / self.points * size * 0.5
        return places, weights.unflatten(-1, axes[1:])

    def flops(self, queries: int, tokens: int) -> int:
        """Of one forward pass for one image, over the tokens of all levels; reading not counted."""
        own = self.offsets.weight.numel() + self.weights.weight.numel() + self.proj.weight.numel()
        return 2 * queries * own + 2 * tokens * self.value.weight.numel()
