"""Rotary positions of EVA-02 and the Perception Encoder: neighbouring channels, whole numbers."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vit.layers.position import NoPosition, Rotation, after_prefix, require_quarters


class InterleavedRotation(Rotation):
    """Rotates pairs of neighbouring channels by an angle per token."""

    def _rotated(self, x: Tensor) -> Tensor:
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)
        return (x * self.cos + turned * self.sin).to(x.dtype)


class InterleavedRope(NoPosition):
    """Rotary positions over rows and columns, counted in patches.

    Half of a head's pairs follow one axis, half the other, with frequencies from 1 down to
    1/`base`. Prefix tokens are not rotated.

    Args:
        base: the longest wavelength is nearly 2π times it, in patches.
        reference_grid: rows and columns of the first training; any grid is stretched upon it.
            None counts the patches that there are.
        offset: number of the first patch of each axis.
        first: which axis the first half of the pairs follows.

    Raises ValueError unless 4 divides the width of a head.

    Source: Fang et al. 2023 (EVA-02), arXiv:2303.11331; Bolya et al. 2025 (PE), arXiv:2504.13181.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        dim: int,
        heads: int,
        grid: tuple[int, int],
        *,
        base: float = 10_000.0,
        reference_grid: tuple[int, int] | None = None,
        offset: float = 0.0,
        first: Literal["rows", "cols"] = "rows",
    ):
        super().__init__(dim, heads, grid)
        require_quarters(dim, heads)
        self.base, self.reference_grid, self.offset, self.first = (
            base,
            reference_grid,
            offset,
            first,
        )
        self.head_dim = dim // heads
        cos, sin = self._made(self.grid, torch.float32, None)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def rotation(
        self,
        grid: tuple[int, int],
        prefix: int,
        kept: Int[Tensor, "batch kept"] | None = None,
    ) -> InterleavedRotation:
        tables = self.cos, self.sin
        if tuple(grid) != self.grid:
            tables = self._made(grid, self.cos.dtype, self.cos.device)
        return InterleavedRotation(*after_prefix(*tables, prefix, kept))

    def _made(
        self, grid: tuple[int, int], dtype: torch.dtype, device: torch.device | None
    ) -> tuple[Float[Tensor, "tokens head_dim"], Float[Tensor, "tokens head_dim"]]:
        quarter = self.head_dim // 4
        steps = torch.arange(quarter, dtype=torch.float32, device=device) / quarter
        bands = (1.0 / self.base**steps).to(torch.promote_types(dtype, torch.float32))
        axes = [
            torch.arange(side, dtype=torch.float32, device=device) + self.offset for side in grid
        ]
        if self.reference_grid is not None:
            sides = zip(axes, grid, self.reference_grid, strict=True)
            axes = [axis / side * reference for axis, side, reference in sides]
        places = torch.cartesian_prod(*axes)  # [tokens, 2]
        if self.first == "cols":
            places = places.flip(1)
        angles = (places[:, :, None] * bands).flatten(1)  # [tokens, head_dim/2]
        # timm rounds sines and cosines to float32, whatever they were computed in
        cos, sin = (each.float().to(dtype) for each in (angles.cos(), angles.sin()))
        return cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1)
