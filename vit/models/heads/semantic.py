"""Heads that give every patch a class: a linear layer, or Segmenter's mask transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.attention import Attention, check_heads
from vit.layers.block import Block
from vit.layers.mlp import Mlp
from vit.layers.norm import LayerNorm
from vit.models.heads.parts import check_counts, undecayed
from vit.models.heads.valid_patches import encode_padded
from vit.models.necks import chosen_blocks
from vit.structures import ClassMaps, Objects


class SemanticHead(nn.Module):
    """A logit for each class at each patch; whoever reads them enlarges them to the image.

    `decoder="linear"` is one layer over the last block's patch tokens, or over several blocks'
    side by side where `blocks` names them: the last must be among them, since blocks after the
    last one used would learn nothing, and comes through the backbone's own norm, the others
    through one of their own each. `"segmenter"` lets a token of each class join the patches
    through `num_layers` blocks, and compares: the logit is the normalised product of class and
    patch, normalised once more over the classes.

    Raises ValueError for blocks that the backbone does not have, without the last or with the
    segmenter, for a segmenter of one class, and where `heads` do not divide or a count is below 1.

    Source: Strudel et al. 2021, arXiv:2105.05633, equations 3 and 5.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        patch_size: int,
        depth: int,
        *,
        decoder: Literal["linear", "segmenter"] = "linear",
        blocks: tuple[int, ...] = (),
        num_layers: int = 2,
        heads: int = 8,
        norm: Callable[[int], nn.Module] = LayerNorm,
    ):
        super().__init__()
        if decoder == "segmenter" and blocks:
            raise ValueError(
                f"head.blocks={list(blocks)} with head.decoder=segmenter, which reads the last "
                "block alone; wanted [] or head.decoder=linear."
            )
        check_counts(num_layers=num_layers, heads=heads)
        self.earlier = chosen_blocks(blocks, depth, "head.blocks")[:-1] if blocks else ()
        self.norms = nn.ModuleList(norm(dim) for _ in self.earlier)
        self.decoder: Any = (
            Linear(dim * (len(self.earlier) + 1), num_classes)
            if decoder == "linear"
            else MaskTransformer(dim, num_classes, num_layers, heads, norm)
        )

    def forward(
        self,
        backbone: Any,
        images: Float[Tensor, "batch channels height width"],
        *,
        padding: Bool[Tensor, "batch height width"] | None = None,
        objects: Objects | None = None,
    ) -> ClassMaps:
        features, frame = encode_padded(backbone, images, padding, self.earlier)
        earlier = zip(self.norms, features.blocks, strict=True)
        tokens = torch.cat([*(norm(block) for norm, block in earlier), features.patches], dim=-1)
        logits = self.decoder(tokens, None if frame.valid is None else frame)
        return ClassMaps(logits.transpose(1, 2).unflatten(2, features.grid))

    def flops(self, backbone: Any, height: int, width: int) -> int:
        """Of backbone and head, one forward pass for one image; one multiply and add are two."""
        grid = backbone.grid(height, width)
        return backbone.flops(height, width) + self.decoder.flops(grid.rows * grid.cols)

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(getattr(self.decoder, "blocks", []))

    def no_weight_decay(self) -> set[str]:
        return undecayed(self, "decoder.classes")


class Linear(nn.Module):
    """Class logits of each token by itself."""

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        self.layer = nn.Linear(dim, num_classes)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], frame: Any = None
    ) -> Float[Tensor, "batch tokens classes"]:
        return self.layer(tokens)

    def flops(self, tokens: int) -> int:
        return 2 * tokens * self.layer.weight.numel()


class MaskTransformer(nn.Module):
    """Class tokens among the patches; see SemanticHead."""

    def __init__(
        self,
        dim: int,
        num_classes: int,
        num_layers: int,
        heads: int,
        norm: Callable[[int], nn.Module],
    ):
        super().__init__()
        check_heads(dim, heads, "head.heads")
        if num_classes < 2:
            raise ValueError(
                f"head.decoder=segmenter compares classes, and there is {num_classes}. "
                "Set head.decoder=linear, or give the background a class of its own."
            )
        self.classes = nn.Parameter(torch.empty(1, num_classes, dim))
        nn.init.trunc_normal_(self.classes, std=0.02)
        self.project = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(
            Block(dim, Attention(dim, heads), Mlp(dim, 4 * dim), norm) for _ in range(num_layers)
        )
        self.norm = norm(dim)
        self.patch = nn.Linear(dim, dim, bias=False)
        self.kind = nn.Linear(dim, dim, bias=False)
        self.last = norm(num_classes)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], frame: Any = None
    ) -> Float[Tensor, "batch tokens classes"]:
        count = self.classes.shape[1]
        mask = None if frame is None else frame.keys(count)
        classes = self.classes.expand(len(tokens), -1, -1).to(tokens.dtype)
        x = torch.cat([classes, self.project(tokens)], dim=1)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        kinds, patches = self.kind(x[:, :count]), self.patch(x[:, count:])
        return self.last(F.normalize(patches, dim=-1) @ F.normalize(kinds, dim=-1).mT)

    def flops(self, tokens: int) -> int:
        count = self.classes.shape[1]
        dense = self.project.weight.numel() + self.patch.weight.numel()
        return (
            2 * tokens * dense
            + 2 * count * self.kind.weight.numel()
            + sum(block.flops(tokens + count) for block in self.blocks)  # type: ignore[operator]
            + 2 * tokens * count * self.patch.out_features
        )
