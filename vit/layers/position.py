"""Where a patch lies in the image, as the tokens learn it.

Every part here is called as `position(dim=…, heads=…, grid=…)` with the grid of the training
images, and has two ways to act: `forward` changes the patch tokens once, `rotation` gives a
function that the attention of every block applies to queries and keys. Another grid than that
of training is served from the original table each time, so resizes never chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vit.layers.attention import Rotate
from vit.layers.parts import PositionPart
from vit.layers.table_resize import Resize, resized


class NoPosition(nn.Module):
    """The tokens stay a set. Also the base of the other parts."""

    def __init__(self, dim: int, heads: int, grid: tuple[int, int]):
        super().__init__()
        self.grid = (grid[0], grid[1])

    def forward(
        self, patches: Float[Tensor, "batch tokens dim"], grid: tuple[int, int]
    ) -> Float[Tensor, "batch tokens dim"]:
        return patches

    def rotation(
        self,
        grid: tuple[int, int],
        prefix: int,
        kept: Int[Tensor, "batch kept"] | None = None,
    ) -> Rotate | None:
        """What to do to queries and keys of `prefix` tokens followed by the patches.

        `kept` says which patches of the grid are there, per image, where some were dropped.
        """
        return None


class LearnedPosition(NoPosition):
    """A learned vector per patch, added. Class and register tokens have none here: theirs would
    only be a second parameter added to their own (see `prefix_positions` of the backbone).

    Args:
        resize: how the table is brought to another grid; weights of others keep the way of their
            source, see vit.layers.table_resize.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        grid: tuple[int, int],
        *,
        resize: Resize = "bicubic_antialias",
    ):
        super().__init__(dim, heads, grid)
        self.resize = resize
        self.table = nn.Parameter(torch.zeros(*self.grid, dim))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(
        self, patches: Float[Tensor, "batch tokens dim"], grid: tuple[int, int]
    ) -> Float[Tensor, "batch tokens dim"]:
        return patches + resized(self.table, grid, self.resize).flatten(0, 1)


class SinCosPosition(NoPosition):
    """Fixed sines and cosines of column and row, added: sin x, cos x, sin y, cos y, a quarter each.

    Wavelengths go from 2π to 2π·temperature patches. Raises ValueError unless 4 divides dim.

    Args:
        temperature: the longest wavelength is 2π times it, in patches.

    Source: Beyer et al. 2022, arXiv:2205.01580 (big_vision's order of the quarters).
    """

    table: Tensor

    def __init__(
        self, dim: int, heads: int, grid: tuple[int, int], *, temperature: float = 10_000.0
    ):
        super().__init__(dim, heads, grid)
        if dim % 4:
            raise ValueError(
                f"sin-cos positions need a width that 4 divides; dim={dim}. "
                f"Set backbone.dim={dim // 4 * 4 + 4}, or use backbone/position=learned."
            )
        rows, cols = (torch.arange(side, dtype=torch.float32) for side in self.grid)
        steps = torch.arange(dim // 4, dtype=torch.float32) / max(1, dim // 4 - 1)
        frequencies = temperature**-steps
        y = (rows[:, None] * frequencies)[:, None].expand(-1, self.grid[1], -1)
        x = (cols[:, None] * frequencies)[None].expand(self.grid[0], -1, -1)
        table = torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=-1)  # [rows, cols, dim]
        self.register_buffer("table", table, persistent=False)

    def forward(
        self, patches: Float[Tensor, "batch tokens dim"], grid: tuple[int, int]
    ) -> Float[Tensor, "batch tokens dim"]:
        return patches + resized(self.table, grid).flatten(0, 1)


class Rotation:
    """Rotates pairs of channels, half a head apart, by an angle per token.

    A class and not a closure, so that a compiled graph sees two plain tensors.
    """

    def __init__(self, cos: Float[Tensor, "*axes head_dim"], sin: Float[Tensor, "*axes head_dim"]):
        self.cos, self.sin = cos, sin

    def __call__(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return self._rotated(q), self._rotated(k)

    def _rotated(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return (x * self.cos + turned * self.sin).to(x.dtype)


def after_prefix(
    cos: Float[Tensor, "tokens head_dim"],
    sin: Float[Tensor, "tokens head_dim"],
    prefix: int,
    kept: Int[Tensor, "batch kept"] | None,
) -> tuple[Tensor, Tensor]:
    """The angles of `prefix` tokens, which are not turned, and of those patches that are there."""
    if kept is not None:
        cos, sin = cos[kept][:, None], sin[kept][:, None]  # [batch, 1, kept, head_dim]
    if prefix:  # an angle of zero leaves a token as it is
        cos = F.pad(cos, (0, 0, prefix, 0), value=1.0)
        sin = F.pad(sin, (0, 0, prefix, 0), value=0.0)
    return cos, sin


def require_quarters(dim: int, heads: int) -> None:
    """Raises ValueError unless a head has pairs of channels for both axes."""
    if (dim // heads) % 4:
        raise ValueError(
            f"rotary positions need a head width that 4 divides; dim={dim} over "
            f"heads={heads} gives {dim // heads}. Change backbone.dim or backbone.heads."
        )


class AxialRope(NoPosition):
    """Rotary positions over rows and columns, in DINOv3's convention.

    Patch centres go from −1 to 1 along each axis, whatever the size of the image; half of the
    angles follow the row, half the column, with periods from 1 to `base` (2π·coordinate/period).
    Scores then depend only on the offset between two patches. Prefix tokens are not rotated.

    In training only, the coordinates may be shifted by up to `shift`, and stretched by a factor
    log-uniform in [1/f, f]: one per axis for `jitter`, one for both axes for `rescale`.

    Raises ValueError unless 4 divides the width of a head.

    Source: Siméoni et al. 2025 (DINOv3), arXiv:2508.10104.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        dim: int,
        heads: int,
        grid: tuple[int, int],
        *,
        base: float = 100.0,
        shift: float | None = None,
        jitter: float | None = None,
        rescale: float | None = None,
    ):
        super().__init__(dim, heads, grid)
        self.head_dim = dim // heads
        require_quarters(dim, heads)
        for name, factor in (("jitter", jitter), ("rescale", rescale)):
            if factor is not None and factor < 1.0:
                raise ValueError(f"{name}={factor} is a largest factor; it must be at least 1.")
        self.base, self.shift, self.jitter, self.rescale = base, shift, jitter, rescale
        angles = self._angles(self._coordinates(self.grid, None))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def rotation(
        self,
        grid: tuple[int, int],
        prefix: int,
        kept: Int[Tensor, "batch kept"] | None = None,
    ) -> Rotation | None:
        return Rotation(*after_prefix(*self._tables(grid), prefix, kept))

    def _tables(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        moved = self.training and (self.shift or self.jitter or self.rescale)
        exact = self._dtype() == torch.float64  # the tables were made in float32
        if tuple(grid) == self.grid and not moved and not exact:
            return self.cos, self.sin
        coordinates = self._coordinates(grid, self.cos.device)
        if moved:
            coordinates = self._moved(coordinates)
        angles = self._angles(coordinates)
        return angles.cos(), angles.sin()

    def _dtype(self) -> torch.dtype:
        made = self._buffers.get("cos")
        return torch.float32 if made is None else made.dtype

    def _coordinates(self, grid: tuple[int, int], device: torch.device | None) -> Tensor:
        rows, cols = (
            (torch.arange(side, dtype=torch.float32, device=device) + 0.5) / side * 2 - 1
            for side in grid
        )
        return torch.cartesian_prod(rows, cols)  # [tokens, 2]

    def _moved(self, coordinates: Tensor) -> Tensor:
        if self.shift:
            coordinates = coordinates + coordinates.new_empty(2).uniform_(-self.shift, self.shift)
        for factor, count in ((self.jitter, 2), (self.rescale, 1)):
            if factor:
                reach = math.log(factor)
                stretch = coordinates.new_empty(count).uniform_(-reach, reach).exp()
                coordinates = coordinates * stretch
        return coordinates

    def _angles(self, coordinates: Tensor) -> Tensor:
        quarter = self.head_dim // 4
        steps = torch.arange(quarter, dtype=torch.float32, device=coordinates.device) / quarter
        wide = torch.promote_types(self._dtype(), torch.float32)  # of a model in float64, that
        periods = (self.base**steps).to(wide)
        angles = 2 * math.pi * coordinates[:, :, None].to(wide) / periods  # [tokens, 2, quarter]
        return angles.flatten(1).repeat(1, 2)  # [tokens, head_dim]


class Combined(NoPosition):
    """An added position and a rotary one together, as ViT-5 has them.

    Args:
        added: the position that is added to the tokens.
        rotary: the one that turns queries and keys.

    Source: github.com/wangf3014/ViT-5.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        grid: tuple[int, int],
        *,
        added: Callable[..., PositionPart],
        rotary: Callable[..., PositionPart],
    ):
        super().__init__(dim, heads, grid)
        self.added = added(dim=dim, heads=heads, grid=grid)
        self.rotary = rotary(dim=dim, heads=heads, grid=grid)

    def forward(
        self, patches: Float[Tensor, "batch tokens dim"], grid: tuple[int, int]
    ) -> Float[Tensor, "batch tokens dim"]:
        return self.added(patches, grid)

    def rotation(
        self,
        grid: tuple[int, int],
        prefix: int,
        kept: Int[Tensor, "batch kept"] | None = None,
    ) -> Rotate | None:
        return self.rotary.rotation(grid, prefix, kept)
