"""From a backbone's features to the maps that a detection head looks at.

Every part here is called as `neck(dim=…, width=…, depth=…)` with the widths of backbone and head
and the backbone's depth. `blocks` are those whose tokens it asks of the backbone; `levels` is how
many maps it makes. No statistics of a batch are used anywhere: nothing depends on how a batch is
split. Padded tokens are zeros to every convolution, as what lies outside of an image is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.norm import LayerNorm
from vit.structures import Features, Grid


@dataclass
class Level:
    """One map as row-major tokens over its grid; `valid` is None where no token is padding."""

    tokens: Float[Tensor, "batch tokens width"]
    grid: Grid
    valid: Bool[Tensor, "batch tokens"] | None = None


class Projector(nn.Module):
    """The answers of several blocks, joined and mixed by convolutions into one map.

    `blocks` are the numbers of the blocks; null takes `num_blocks` of them, evenly spaced. The
    last must be among them, since blocks after the last one used would learn nothing; it comes
    through the backbone's own norm, the others through a norm of their own each, as their scales
    differ. `bottlenecks` pairs of 3x3 convolutions work at `expansion` times the width.

    Raises ValueError for blocks that the backbone does not have, or without the last.

    Source: the projector of LW-DETR and RF-DETR (Chen et al. 2024, arXiv:2406.03459), whose block
    is that of YOLOv8.
    """

    levels = 1

    def __init__(
        self,
        dim: int,
        width: int,
        depth: int,
        *,
        blocks: tuple[int, ...] | None = None,
        num_blocks: int = 4,
        bottlenecks: int = 3,
        expansion: float = 0.5,
    ):
        super().__init__()
        self.blocks = _blocks(blocks, num_blocks, depth)
        hidden = max(1, int(width * expansion))
        self.norms = nn.ModuleList(LayerNorm(dim) for _ in self.blocks[:-1])
        self.expand = _Convolved(len(self.blocks) * dim, 2 * hidden, 1)
        self.bottlenecks = nn.ModuleList(_Bottleneck(hidden) for _ in range(bottlenecks))
        self.fuse = _Convolved((2 + bottlenecks) * hidden, width, 1)
        self.norm = LayerNorm(width)

    def forward(
        self, features: Features, valid: Bool[Tensor, "batch tokens"] | None = None
    ) -> list[Level]:
        grid = features.grid
        earlier = zip(self.norms, features.blocks[:-1], strict=True)
        x = torch.cat([*(norm(block) for norm, block in earlier), features.patches], dim=-1)
        parts = list(self.expand(x, grid).chunk(2, dim=-1))
        for bottleneck in self.bottlenecks:
            parts.append(bottleneck(parts[-1], grid, valid))
        x = self.norm(self.fuse(torch.cat(parts, dim=-1), grid))
        return [Level(x, grid, valid)]

    def grids(self, grid: Grid) -> list[Grid]:
        return [grid]

    def flops(self, grid: Grid) -> int:
        """Of one forward pass for one image; a multiplication and an addition are two."""
        convolutions = [part for part in self.modules() if isinstance(part, _Convolved)]
        return sum(part.flops(grid) for part in convolutions)


class Pyramid(nn.Module):
    """Maps at several scales of the last block's answer, finest first.

    A scale of 2 has twice as many tokens along each side as the backbone has patches (by a
    transposed convolution), 1 as many, 0.5 half as many (by max-pooling; odd sides round up).
    A 1x1 and a 3x3 convolution follow, each with a norm.

    Args:
        scales: tokens along each side, over the backbone's patches there, a map each.

    Raises ValueError for other scales.

    Source: the simple feature pyramid of Li et al. 2022 (ViTDet), arXiv:2203.16527.
    """

    blocks: tuple[int, ...] = ()

    def __init__(
        self, dim: int, width: int, depth: int, *, scales: tuple[float, ...] = (2.0, 1.0, 0.5)
    ):
        super().__init__()
        if not scales or not set(scales) <= {2.0, 1.0, 0.5} or len(set(scales)) < len(scales):
            raise ValueError(
                f"head.neck.scales is {list(scales)}; wanted some of 2, 1 and 0.5, each once."
            )
        self.scales = tuple(sorted(scales, reverse=True))
        self.levels = len(scales)
        fine = 2.0 in self.scales
        self.up = nn.ConvTranspose2d(dim, max(1, dim // 2), 2, stride=2) if fine else None
        inputs = [max(1, dim // 2) if scale == 2.0 else dim for scale in self.scales]
        self.narrow = nn.ModuleList(_Convolved(count, width, 1, active=False) for count in inputs)
        self.smooth = nn.ModuleList(_Convolved(width, width, 3, active=False) for _ in inputs)

    def forward(
        self, features: Features, valid: Bool[Tensor, "batch tokens"] | None = None
    ) -> list[Level]:
        levels = []
        parts = zip(self.scales, self.narrow, self.smooth, strict=True)
        for scale, narrow, smooth in parts:
            tokens, grid, real = self._scaled(features, valid, scale)
            tokens = smooth(narrow(tokens, grid), grid, real)
            levels.append(Level(tokens, grid, real))
        return levels

    def grids(self, grid: Grid) -> list[Grid]:
        return [_scaled_grid(grid, scale) for scale in self.scales]

    def flops(self, grid: Grid) -> int:
        """Of one forward pass for one image; a multiplication and an addition are two."""
        total = 0
        if self.up is not None:
            total += 2 * grid.rows * grid.cols * self.up.weight.numel()
        for scaled, narrow, smooth in zip(self.grids(grid), self.narrow, self.smooth, strict=True):
            for part in (narrow, smooth):
                assert isinstance(part, _Convolved)
                total += part.flops(scaled)
        return total

    def _scaled(
        self, features: Features, valid: Tensor | None, scale: float
    ) -> tuple[Tensor, Grid, Tensor | None]:
        grid, scaled = features.grid, _scaled_grid(features.grid, scale)
        if scale == 1.0:
            return features.patches, grid, valid
        image = _as_image(features.patches, grid)
        mask = None if valid is None else valid.float().unflatten(1, tuple(grid))[:, None]
        if scale == 2.0:
            assert self.up is not None
            image = self.up(image)
            if mask is not None:
                mask = F.interpolate(mask, scale_factor=2.0)
        else:
            if mask is not None:
                image = image.masked_fill(mask == 0, float("-inf"))
                mask = F.adaptive_max_pool2d(mask, tuple(scaled))
            # Adaptive: the windows of an odd side overlap and cover the image evenly.
            image = F.adaptive_max_pool2d(image, tuple(scaled))
            if mask is not None:
                image = image.masked_fill(mask == 0, 0.0)
        return _as_tokens(image), scaled, None if mask is None else mask.flatten(1) > 0


class _Convolved(nn.Module):
    """A convolution over tokens, a norm, and SiLU where `active`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, active: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = LayerNorm(outputs)
        self.active = active
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor, grid: Grid, valid: Tensor | None = None) -> Tensor:
        if self.conv.kernel_size == (1, 1):  # each token by itself: a matrix product is faster
            x = F.linear(x, self.conv.weight.flatten(1))
        else:
            if valid is not None:
                x = x.masked_fill(~valid[..., None], 0.0)
            x = _as_tokens(self.conv(_as_image(x, grid)))
        x = self.norm(x)
        return F.silu(x, inplace=True) if self.active else x

    def flops(self, grid: Grid) -> int:
        return 2 * grid.rows * grid.cols * self.conv.weight.numel()


class _Bottleneck(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = _Convolved(width, width, 3), _Convolved(width, width, 3)

    def forward(self, x: Tensor, grid: Grid, valid: Tensor | None) -> Tensor:
        return self.second(self.first(x, grid, valid), grid, valid)


def _as_image(tokens: Tensor, grid: Grid) -> Tensor:
    """[batch, tokens, dim] as [batch, dim, rows, cols]; in memory the channels stay last."""
    return tokens.unflatten(1, tuple(grid)).permute(0, 3, 1, 2)


def _as_tokens(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2)


def _scaled_grid(grid: Grid, scale: float) -> Grid:
    if scale == 0.5:
        return Grid(-(-grid.rows // 2), -(-grid.cols // 2))
    return Grid(grid.rows * int(scale), grid.cols * int(scale))


def _blocks(blocks: tuple[int, ...] | None, num_blocks: int, depth: int) -> tuple[int, ...]:
    if blocks is None:
        if num_blocks < 1:
            raise ValueError(f"head.neck.num_blocks={num_blocks}; it must be at least 1.")
        spaced = {round((part + 1) * depth / num_blocks) - 1 for part in range(num_blocks)}
        return tuple(sorted(block for block in spaced if block >= 0))
    return chosen_blocks(blocks, depth, "head.neck.blocks")


def chosen_blocks(blocks: tuple[int, ...], depth: int, key: str) -> tuple[int, ...]:
    """The numbers of the blocks, counted from 0 and in order; `key` is where they are configured.

    Raises ValueError for blocks that the backbone does not have, or without the last.
    """
    chosen = sorted({block + depth if block < 0 else block for block in blocks})
    if not chosen or chosen[0] < 0 or chosen[-1] != depth - 1:
        raise ValueError(
            f"{key} is {list(blocks)}; this backbone has the blocks 0 to {depth - 1}, "
            f"and the last must be among those chosen. Add -1, or set backbone.depth to what is "
            "used."
        )
    return tuple(chosen)
