"""From an image to one token per patch.

Every part here is called as `patch(channels=…, dim=…, patch_size=…)`, takes images whose sides
divide by the patch size (the backbone has checked that) and gives the tokens in row-major order.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


def _start_by_fan_in(layer: nn.Linear | nn.Conv2d) -> None:
    """Unit variance in, unit variance out, however few pixels a patch has.

    A fixed deviation of 0.02 suits the 768 numbers of a 16-pixel RGB patch; at the 4 numbers of
    a 2-pixel grey patch it would start with tokens near zero. As big_vision and torchvision do.
    """
    fan_in = layer.weight[0].numel()
    nn.init.trunc_normal_(layer.weight, std=fan_in**-0.5, a=-2 * fan_in**-0.5, b=2 * fan_in**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class LinearPatch(nn.Module):
    """Cuts the image into patches and applies one matrix: the same numbers as `ConvPatch`.

    A patch is flattened as (channels, height, width), so the matrix is the convolution's kernel
    with its last three axes flattened.

    Args:
        bias: whether it has one.
    """

    def __init__(self, channels: int, dim: int, patch_size: int, *, bias: bool = True):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Linear(channels * patch_size**2, dim, bias=bias)
        _start_by_fan_in(self.proj)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens dim"]:
        batch, channels, height, width = images.shape
        size = self.patch_size
        rows, cols = height // size, width // size
        x = images.reshape(batch, channels, rows, size, cols, size)
        x = x.permute(0, 2, 4, 1, 3, 5)  # [batch, rows, cols, channels, size, size]
        return self.proj(x.reshape(batch, rows * cols, channels * size * size))

    def flops(self, height: int, width: int) -> int:
        tokens = (height // self.patch_size) * (width // self.patch_size)
        return 2 * tokens * self.proj.in_features * self.proj.out_features


class ConvPatch(nn.Module):
    """A convolution whose kernel and stride are the patch size.

    Args:
        bias: whether it has one.
    """

    def __init__(self, channels: int, dim: int, patch_size: int, *, bias: bool = True):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv2d(channels, dim, patch_size, stride=patch_size, bias=bias)
        _start_by_fan_in(self.proj)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens dim"]:
        return self.proj(images).flatten(2).transpose(1, 2)

    def flops(self, height: int, width: int) -> int:
        tokens = (height // self.patch_size) * (width // self.patch_size)
        return 2 * tokens * self.proj.weight[0].numel() * self.proj.out_channels


class ConvStem(nn.Module):
    """Overlapping 3x3 convolutions of stride 2 down to one pixel a patch, then a 1x1 convolution.

    Widths double up to `dim`. Easier to optimise and better on small data than one big stride.
    The paper normalises with batch statistics; here each image is normalised by itself, so that
    nothing depends on how a batch is split over devices or accumulated.

    Raises ValueError unless the patch size is a power of two, at least 2.

    Source: Xiao et al. 2021, arXiv:2106.14881.
    """

    def __init__(self, channels: int, dim: int, patch_size: int):
        super().__init__()
        stages = patch_size.bit_length() - 1
        if patch_size < 2 or patch_size != 2**stages:
            raise ValueError(
                f"the conv stem halves the image, so patch_size must be 2, 4, 8, 16 or 32; "
                f"it is {patch_size}. Change backbone.patch_size, or use backbone/patch=linear."
            )
        self.patch_size = patch_size
        widths = [channels] + [max(8, dim // 2 ** (stages - 1 - stage)) for stage in range(stages)]
        convs = [
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            for before, after in pairwise(widths)
        ]
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.GroupNorm(1, width, eps=1e-6) for width in widths[1:])
        self.proj = nn.Conv2d(widths[-1], dim, 1)
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        _start_by_fan_in(self.proj)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch tokens dim"]:
        x = images
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return self.proj(x).flatten(2).transpose(1, 2)

    def flops(self, height: int, width: int) -> int:
        total = 0
        for conv in self.convs:
            height, width = height // 2, width // 2
            total += 2 * height * width * conv.get_parameter("weight").numel()
        return total + 2 * height * width * self.proj.weight.numel()


def drop_patches(
    tokens: Float[Tensor, "batch tokens dim"], num_prefix: int, rate: float
) -> tuple[Float[Tensor, "batch kept_tokens dim"], Int[Tensor, "batch kept"]]:
    """A random choice of the patches of each image, and their numbers; all prefix tokens stay."""
    batch, count, dim = tokens.shape
    num_patches = count - num_prefix
    keep = max(1, round(num_patches * (1 - rate)))
    kept = torch.rand(batch, num_patches, device=tokens.device).argsort(1)[:, :keep]
    chosen = (kept + num_prefix)[:, :, None].expand(-1, -1, dim)
    return torch.cat([tokens[:, :num_prefix], tokens.gather(1, chosen)], dim=1), kept
