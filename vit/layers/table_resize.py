"""A table of positions at another grid, by the convention of the program that it comes from."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# Weights give the same numbers at another size only by the rule of their source:
#   bicubic_antialias   timm, Hugging Face's DINOv2 with registers
#   bicubic             Hugging Face's ViT, DeiT, CLIP, SigLIP
#   bicubic_float32     Hugging Face's DINOv2: computed in float32, whatever the model is in
#   bicubic_aligned     torchvision: the corners of both grids lie upon one another
#   bicubic_offset      DINOv2's own code without registers: by the factor (side + 0.1) / old side
#   bilinear_antialias  SigLIP 2's NaFlex models
#   bilinear            FlexiViT
Resize = Literal[
    "bicubic_antialias",
    "bicubic",
    "bicubic_float32",
    "bicubic_aligned",
    "bicubic_offset",
    "bilinear_antialias",
    "bilinear",
]
OFFSET = 0.1  # pixels that DINOv2 adds to the new side, against a side that is rounded down


def resized(
    table: Float[Tensor, "rows cols dim"],
    grid: tuple[int, int],
    how: Resize = "bicubic_antialias",
) -> Float[Tensor, "new_rows new_cols dim"]:
    """The table at another grid; itself where it has that grid.

    With antialiasing it is computed in float32, as all do; else in the table's own type, but for
    bicubic_float32, and at least in that.
    """
    if table.shape[:2] == grid:
        return table
    mode, _, rule = how.partition("_")
    wide = torch.promote_types(table.dtype, torch.float32)
    wide = torch.float32 if rule in ("antialias", "float32") else wide
    stacked = table.to(wide).permute(2, 0, 1)[None]
    options: dict[str, Any] = {"mode": mode, "size": tuple(grid)}
    if rule == "antialias":
        options["antialias"] = True
    elif rule == "aligned":
        options["align_corners"] = True
    elif rule == "offset":
        del options["size"]
        sides = zip(grid, table.shape[:2], strict=True)
        options["scale_factor"] = tuple((new + OFFSET) / old for new, old in sides)
    return F.interpolate(stacked, **options)[0].permute(1, 2, 0).to(table.dtype)
