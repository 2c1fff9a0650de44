"""Where the real image lies in what the model sees, and what of it is padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vit.models.backbone import ViT
from vit.structures import Features, Grid


@dataclass
class ValidPatches:
    """The rectangle of real patches in a padded image; all is None where nothing was padded.

    Heads think in fractions of the real image, so that padding changes nothing they say, and
    answer in fractions of what the model saw. `origin` and `size` are (x, y) in fractions of the
    latter. `valid` are the patches that hold at least one real pixel.
    """

    valid: Bool[Tensor, "batch tokens"] | None = None
    origin: Float[Tensor, "batch 1 2"] | None = None
    size: Float[Tensor, "batch 1 2"] | None = None

    @classmethod
    def of(cls, padding: Bool[Tensor, "batch height width"] | None, grid: Grid) -> ValidPatches:
        """`padding` is true at the pixels that were filled up."""
        if padding is None:
            return cls()
        batch, height, width = padding.shape
        rows, cols = grid
        patches = padding.reshape(batch, rows, height // rows, cols, width // cols)
        valid = ~patches.all(4).all(2)  # [batch, rows, cols]
        sides = []
        for along, count in ((valid.any(1), cols), (valid.any(2), rows)):
            first = along.float().argmax(1)
            sides.append(torch.stack([first, along.sum(1).clamp(min=1)]) / count)
        origin, size = torch.stack(sides, dim=-1)[:, :, None]  # [batch, 1, 2] each
        return cls(valid.flatten(1), origin, size)

    def inward(self, points: Float[Tensor, "#batch tokens 2"]) -> Float[Tensor, "batch tokens 2"]:
        """Points in fractions of what the model sees, as fractions of the real image."""
        if self.origin is None or self.size is None:
            return points
        return (points - self.origin) / self.size

    def inward_boxes(self, boxes_cxcywh: Float[Tensor, "batch n 4"]) -> Float[Tensor, "batch n 4"]:
        """The opposite of `outward`."""
        if self.origin is None or self.size is None:
            return boxes_cxcywh
        centre, size = boxes_cxcywh.chunk(2, dim=-1)
        return torch.cat([self.inward(centre), size / self.size], dim=-1)

    def outward(self, boxes_cxcywh: Float[Tensor, "batch n 4"]) -> Float[Tensor, "batch n 4"]:
        """Boxes in fractions of the real image, as fractions of what the model sees."""
        if self.origin is None or self.size is None:
            return boxes_cxcywh
        centre, size = boxes_cxcywh.chunk(2, dim=-1)
        return torch.cat([centre * self.size + self.origin, size * self.size], dim=-1)

    def keys(self, extra: int) -> Bool[Tensor, "batch 1 1 keys"] | None:
        """A mask for attention to `extra` tokens and the patches after them."""
        if self.valid is None:
            return None
        return torch.nn.functional.pad(self.valid, (extra, 0), value=True)[:, None, None]


def encode_padded(
    backbone: Any,
    images: Float[Tensor, "batch channels height width"],
    padding: Bool[Tensor, "batch height width"] | None,
    blocks: tuple[int, ...] = (),
) -> tuple[Features, ValidPatches]:
    """The backbone's features, and where they are real.

    Our own backbone does not attend to padding. One of timm's does, as it takes no mask: fill
    its images up to one fixed size, so that what it says does not depend on the batch.
    """
    frame = ValidPatches.of(padding, backbone.grid(*images.shape[-2:]))
    if isinstance(backbone, ViT):
        tokens, grid = backbone.embed(images)
        mask = frame.keys(backbone.num_prefix)
        return backbone.encode(tokens, grid, blocks, mask=mask), frame
    return (backbone(images, blocks) if blocks else backbone(images)), frame


def centres(
    grid: Grid, device: torch.device, *, offset: float = 0.5
) -> Float[Tensor, "1 tokens 2"]:
    """(x, y) of every patch's centre, row-major, in fractions of the image."""
    rows, cols = (
        (torch.arange(count, dtype=torch.float32, device=device) + offset) / count for count in grid
    )
    return torch.cartesian_prod(rows, cols).flip(-1)[None]
