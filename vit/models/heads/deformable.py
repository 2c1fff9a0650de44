"""Two-stage queries that look near their boxes: the shape of RF-DETR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.deformable import DeformableAttention
from vit.layers.norm import LayerNorm
from vit.models.heads.decoder import DecoderLayer
from vit.models.heads.parts import (
    ReluMlp,
    check_counts,
    check_width,
    class_layer,
    moved,
    sines,
    still_box_mlp,
    undecayed,
)
from vit.models.heads.two_stage import TwoStage, token_count
from vit.models.heads.valid_patches import ValidPatches, encode_padded
from vit.models.necks import Projector
from vit.structures import Denoised, Detections, Objects, Stage


class DeformableHead(nn.Module):
    """The best tokens of the neck's maps propose boxes; a few layers look around each and refine.

    No encoder stands between backbone and decoder. A query's place is set once by its proposal;
    each layer says how far the object is from there, so all layers' answers are of one kind and
    share their predictors. With `groups`, that many sets of queries train side by side and only
    the first answers in evaluation. `denoising` makes noised copies of the objects in training,
    which go through the layers in a sequence of their own after the matched queries. DINO lets
    copies see these, in one sequence under a mask; where neither sees the other, no mask need part
    them, groups stay what they are, and what matched queries answer is the same to the bit.

    Args:
        width: of the queries.
        num_queries: answers for an image, and so the most objects that it can find there.
        num_layers: of the decoder.
        heads: of the attention among queries; they divide `width`.
        cross_heads: of the attention to the maps; they divide `width`.
        points: places that a head of it reads in each map.
        hidden: width of the mlp of each layer.
        dropout: rate behind each attention and in each mlp, in training.

    Raises ValueError where `width` does not divide, or a count is below 1.

    Sources: Robinson et al. 2025 (RF-DETR), arXiv:2511.09554; Chen et al. 2024 (LW-DETR),
    arXiv:2406.03459.
    """

    no_object = False

    def __init__(
        self,
        dim: int,
        num_classes: int,
        patch_size: int,
        depth: int,
        *,
        neck: Callable[..., nn.Module] = Projector,
        width: int = 256,
        num_queries: int = 300,
        num_layers: int = 3,
        heads: int = 8,
        cross_heads: int = 16,
        points: int = 2,
        hidden: int = 2048,
        groups: int = 1,
        dropout: float = 0.0,
        denoising: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        check_counts(
            num_queries=num_queries,
            num_layers=num_layers,
            points=points,
            hidden=hidden,
            groups=groups,
        )
        check_width(width, heads=heads, cross_heads=cross_heads)
        self.width = width
        self.neck = cast(Any, neck(dim=dim, width=width, depth=depth))
        self.two_stage = TwoStage(width, num_classes, num_queries, groups)
        self.position = ReluMlp(2 * width, width, width, layers=2)
        self.layers = nn.ModuleList(
            DecoderLayer(
                width,
                heads,
                hidden,
                DeformableAttention(width, cross_heads, levels=self.neck.levels, points=points),
                dropout=dropout,
            )
            for _ in range(num_layers)
        )
        self.norm = LayerNorm(width, eps=1e-5)
        self.classes = class_layer(width, num_classes)
        self.boxes = still_box_mlp(width)
        self.denoising: Any = denoising(width, num_classes) if denoising else None

    def forward(
        self,
        backbone: Any,
        images: Float[Tensor, "batch channels height width"],
        *,
        padding: Bool[Tensor, "batch height width"] | None = None,
        objects: Objects | None = None,
    ) -> Detections:
        features, frame = encode_padded(backbone, images, padding, self.neck.blocks)
        levels = self.neck(features, frame.valid)
        start = self.two_stage(levels, frame)
        seen = {
            "tokens": torch.cat([level.tokens for level in levels], dim=1),
            "grids": [level.grid for level in levels],
            "valid": None
            if frame.valid is None
            else torch.cat([level.valid for level in levels], dim=1),
        }
        groups = self.two_stage.active_groups
        stages = [Stage(start.logits, frame.outward(start.boxes_cxcywh))]
        stages += self._decoded(
            start.content, start.references_cxcywh, frame, groups=groups, **seen
        )
        denoised = None
        if self.denoising is not None and self.training:
            noised = self.denoising(objects, frame, images)
            found = self._decoded(
                noised.content, noised.references_cxcywh, frame, sees=noised.sees, **seen
            )
            denoised = Denoised(found, noised.objects, noised.positive)
        return Detections(stages, groups, denoised)

    def _decoded(
        self, x: Tensor, references_cxcywh: Tensor, frame: ValidPatches, **seen: Any
    ) -> list[Stage]:
        position = self.position(sines(references_cxcywh, self.width // 2))
        places, stages = frame.outward(references_cxcywh), []
        for layer in self.layers:
            x = layer(x, position, boxes_cxcywh=places, **seen)
            answer = self.norm(x)
            boxes = moved(references_cxcywh, self.boxes(answer))
            stages.append(Stage(self.classes(answer), frame.outward(boxes)))
        return stages

    def flops(self, backbone: Any, height: int, width: int) -> int:
        """Of backbone and head, for one image; in training with all groups and copies."""
        grid = backbone.grid(height, width)
        tokens = token_count(self.neck.grids(grid))
        total = backbone.flops(height, width) + self.neck.flops(grid) + self.two_stage.flops(tokens)
        total += self._flops(self.two_stage.count(tokens), tokens, self.two_stage.active_groups)
        if self.denoising is not None and self.training:
            total += self._flops(2 * self.denoising.num_queries, tokens)
        return total

    def _flops(self, queries: int, tokens: int, groups: int = 1) -> int:
        """Of all layers and their predictors."""
        predictors = 2 * groups * queries * self.classes.weight.numel()
        predictors += self.boxes.flops(groups * queries)
        layers: Any = self.layers
        return self.position.flops(groups * queries) + sum(
            layer.flops(queries, tokens, groups) + predictors for layer in layers
        )

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.layers)

    def no_weight_decay(self) -> set[str]:
        return undecayed(self, "two_stage.content", "two_stage.change", "denoising.labels")
