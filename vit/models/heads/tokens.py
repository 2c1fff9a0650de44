"""Detection tokens that ride through the backbone: YOLOS."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.models.heads.parts import RARE, ReluMlp, check_counts, undecayed
from vit.models.heads.valid_patches import ValidPatches
from vit.structures import Detections, Objects, Stage


class TokensHead(nn.Module):
    """Learned tokens join the patches before the first block; each comes out as one answer.

    They stand between the class token and registers, and the patches. With `no_object` classes
    share a softmax with "no object", as published. The backbone must let tokens in between its
    stages, so one of timm's will not do.

    Args:
        num_queries: answers for an image, and so the most objects that it can find there.

    Raises ValueError where `num_queries` is below 1.

    Source: Fang et al. 2021, arXiv:2106.00666.
    """

    needs_stages = "head=tokens, whose queries ride through the blocks; head=detr does without"

    def __init__(
        self,
        dim: int,
        num_classes: int,
        patch_size: int,
        depth: int,
        *,
        num_queries: int = 100,
        no_object: bool = True,
    ):
        super().__init__()
        check_counts(num_queries=num_queries)
        self.no_object = no_object
        self.tokens = nn.Parameter(torch.empty(1, num_queries, dim))
        nn.init.trunc_normal_(self.tokens, std=0.02)
        self.classes = ReluMlp(dim, dim, num_classes + no_object)
        self.boxes = ReluMlp(dim, dim, 4)
        if not no_object:
            nn.init.constant_(self.classes.layers[-1].get_parameter("bias"), RARE)

    def forward(
        self,
        backbone: Any,
        images: Float[Tensor, "batch channels height width"],
        *,
        padding: Bool[Tensor, "batch height width"] | None = None,
        objects: Objects | None = None,
    ) -> Detections:
        embedded, grid = backbone.embed(images)
        frame = ValidPatches.of(padding, grid)
        prefix, patches = embedded.tensor_split([backbone.num_prefix], dim=1)
        riding = self.tokens.expand(len(images), -1, -1).to(embedded.dtype)
        tokens = torch.cat([prefix, riding, patches], dim=1)
        mask = frame.keys(tokens.shape[1] - patches.shape[1])
        x = backbone.encode(tokens, grid, mask=mask).prefix[:, backbone.num_prefix :]
        boxes = self.boxes(x).float().sigmoid()
        return Detections([Stage(self.classes(x), frame.outward(boxes))])

    def flops(self, backbone: Any, height: int, width: int) -> int:
        """Of backbone and head, one forward pass for one image."""
        grid, riding = backbone.grid(height, width), self.tokens.shape[1]
        alone = grid.rows * grid.cols + backbone.num_prefix
        more = sum(block.flops(alone + riding) - block.flops(alone) for block in backbone.blocks)
        predictors = self.classes.flops(riding) + self.boxes.flops(riding)
        return backbone.flops(height, width) + more + predictors

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return []

    def no_weight_decay(self) -> set[str]:
        return undecayed(self, "tokens")
