"""Learned queries and plain attention: the founding detection transformer's decoder."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.norm import LayerNorm
from vit.models.heads.decoder import plain_layer
from vit.models.heads.parts import (
    ReluMlp,
    check_counts,
    check_width,
    class_layer,
    sines,
    undecayed,
)
from vit.models.heads.valid_patches import centres, encode_padded
from vit.structures import Detections, Objects, Stage


class DetrHead(nn.Module):
    """Queries with a learned place each look at the whole image, layer after layer.

    The backbone stands for DETR's encoder. All layers' answers go through one norm and share their
    predictors. With `no_object` classes share a softmax with "no object", as published.

    Args:
        width: of the queries.
        num_queries: answers for an image, and so the most objects that it can find there.
        num_layers: of the decoder.
        heads: of the attention among queries and to the image; they divide `width`.
        hidden: width of the mlp of each layer.
        dropout: rate behind each attention and in each mlp, in training.

    Raises ValueError where `width` does not divide, or a count is below 1.

    Source: Carion et al. 2020, arXiv:2005.12872.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        patch_size: int,
        depth: int,
        *,
        width: int = 256,
        num_queries: int = 100,
        num_layers: int = 6,
        heads: int = 8,
        hidden: int = 2048,
        no_object: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_counts(num_queries=num_queries, num_layers=num_layers, hidden=hidden)
        check_width(width, heads=heads)
        self.width, self.no_object = width, no_object
        self.project = nn.Linear(dim, width)
        self.queries = nn.Parameter(torch.empty(1, num_queries, width))
        nn.init.normal_(self.queries)
        self.layers = nn.ModuleList(
            plain_layer(width, heads, hidden, dropout) for _ in range(num_layers)
        )
        self.norm = LayerNorm(width, eps=1e-5)
        self.classes = class_layer(width, num_classes, no_object)
        self.boxes = ReluMlp(width, width, 4)

    def forward(
        self,
        backbone: Any,
        images: Float[Tensor, "batch channels height width"],
        *,
        padding: Bool[Tensor, "batch height width"] | None = None,
        objects: Objects | None = None,
    ) -> Detections:
        features, frame = encode_padded(backbone, images, padding)
        # The published places are the patches' far corners, not their centres.
        corners = centres(features.grid, images.device, offset=1.0)
        seen = {
            "context": self.project(features.patches),
            "context_position": sines(frame.inward(corners), self.width // 2),
            "mask": frame.keys(0),
        }
        position = self.queries.expand(len(images), -1, -1)
        x, stages = torch.zeros_like(position), []
        for layer in self.layers:
            x = layer(x, position, **seen)
            answer = self.norm(x)
            boxes = self.boxes(answer).float().sigmoid()
            stages.append(Stage(self.classes(answer), frame.outward(boxes)))
        return Detections(stages)

    def flops(self, backbone: Any, height: int, width: int) -> int:
        """Of backbone and head, one forward pass for one image."""
        grid = backbone.grid(height, width)
        tokens, queries = grid.rows * grid.cols, self.queries.shape[1]
        predictors = 2 * queries * self.classes.weight.numel() + self.boxes.flops(queries)
        layers: Any = self.layers
        return (
            backbone.flops(height, width)
            + 2 * tokens * self.project.weight.numel()
            + sum(layer.flops(queries, tokens) + predictors for layer in layers)
        )

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.layers)

    def no_weight_decay(self) -> set[str]:
        return undecayed(self, "queries")
