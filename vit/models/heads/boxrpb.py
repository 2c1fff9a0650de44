"""Two-stage queries that look everywhere, guided by where their boxes are: Plain-DETR's shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.models.heads.decoder import plain_layer
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
from vit.models.heads.valid_patches import ValidPatches, centres, encode_padded
from vit.models.necks import Projector
from vit.structures import Denoised, Detections, Grid, Objects, Stage


class BoxBias(nn.Module):
    """What each head adds to the score between a box and a token, from where they lie.

    It is the sum of two functions: one of the distances from the token's column to the left and
    right edges of the box, one of those from its row to the upper and lower edges. Distances are
    in pixels, on a logarithmic scale: sign(d) · log2(1 + |d|) / 3, so 7 pixels count as 1.

    Source: Lin et al. 2023 (Plain-DETR), arXiv:2308.01904.
    """

    def __init__(self, heads: int, hidden: int):
        super().__init__()
        self.across = ReluMlp(2, hidden, heads, layers=2)
        self.down = ReluMlp(2, hidden, heads, layers=2)

    def forward(
        self,
        boxes_cxcywh: Float[Tensor, "batch queries 4"],
        grid: tuple[int, int],
        image_size: tuple[int, int],
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """Boxes in fractions of an image of this many pixels (height, width)."""
        centre, size = boxes_cxcywh.chunk(2, dim=-1)
        edges = torch.stack([centre - size / 2, centre + size / 2], dim=-1)  # […, (x, y), 2]
        across, down = (
            mlp(self._distances(edges[:, :, axis], count, pixels))
            for axis, mlp, count, pixels in (
                (0, self.across, grid[1], image_size[1]),
                (1, self.down, grid[0], image_size[0]),
            )
        )
        bias = down[:, :, :, None] + across[:, :, None]  # [batch, queries, rows, cols, heads]
        return bias.flatten(2, 3).permute(0, 3, 1, 2)

    def flops(self, queries: int, grid: tuple[int, int]) -> int:
        """Of one forward pass for one image; a multiplication and an addition are two."""
        return self.across.flops(queries * grid[1]) + self.down.flops(queries * grid[0])

    def _distances(self, edges: Tensor, count: int, pixels: int) -> Tensor:
        """[batch, queries, count, 2] from the `count` tokens along one axis to both edges."""
        tokens = (torch.arange(count, dtype=torch.float32, device=edges.device) + 0.5) / count
        distances = (edges[:, :, None] - tokens[:, None]) * pixels
        return distances.sign() * torch.log2(1 + distances.abs()) / 3


@dataclass
class _Seen:
    """What the layers look at; all levels' tokens lie one after the other."""

    tokens: Tensor  # [batch, tokens, width], as their positions
    position: Tensor
    grids: Sequence[Grid]
    size: tuple[int, int]  # of the image in pixels
    hidden: Tensor | None  # [batch, 1, 1, tokens] that are padding
    frame: ValidPatches

    def mask(self, bias: nn.Module, references_cxcywh: Tensor) -> Tensor:
        """[batch, heads, queries, tokens] to add to the scores."""
        boxes = self.frame.outward(references_cxcywh)
        mask = torch.cat([bias(boxes, grid, self.size) for grid in self.grids], dim=-1)
        return mask if self.hidden is None else mask.masked_fill(self.hidden, float("-inf"))


class BoxRpbHead(nn.Module):
    """The best tokens propose boxes; each layer attends to the whole image and moves the boxes.

    The attention is plain and global; a `BoxBias` from the query's present box, of width
    `bias_hidden`, tells it where to look. Each layer starts from the boxes of the one before,
    through which no gradient flows, and has predictors of its own. `groups` and `denoising` as in
    `DeformableHead`.

    Args:
        width: of the queries.
        num_queries: answers for an image, and so the most objects that it can find there.
        num_layers: of the decoder.
        heads: of the attention among queries; they divide `width`.
        hidden: width of the mlp of each layer.
        dropout: rate behind each attention and in each mlp, in training.

    Raises ValueError where `width` does not divide, or a count is below 1.

    Source: Lin et al. 2023 (Plain-DETR), arXiv:2308.01904.
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
        num_layers: int = 6,
        heads: int = 8,
        hidden: int = 2048,
        bias_hidden: int = 512,
        groups: int = 1,
        dropout: float = 0.0,
        denoising: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        check_counts(
            num_queries=num_queries,
            num_layers=num_layers,
            hidden=hidden,
            bias_hidden=bias_hidden,
            groups=groups,
        )
        check_width(width, heads=heads)
        self.width = width
        self.neck: Any = neck(dim=dim, width=width, depth=depth)
        self.two_stage = TwoStage(width, num_classes, num_queries, groups)
        self.position = ReluMlp(2 * width, width, width, layers=2)
        layers, biases, classes, boxes = [], [], [], []
        for _ in range(num_layers):
            layers.append(plain_layer(width, heads, hidden, dropout))
            biases.append(BoxBias(heads, bias_hidden))
            classes.append(class_layer(width, num_classes))
            boxes.append(still_box_mlp(width))
        self.layers, self.biases = nn.ModuleList(layers), nn.ModuleList(biases)
        self.classes, self.boxes = nn.ModuleList(classes), nn.ModuleList(boxes)
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
        tokens = torch.cat([level.tokens for level in levels], dim=1)
        grids = [level.grid for level in levels]
        places = torch.cat([centres(grid, tokens.device) for grid in grids], dim=1)
        hidden = None
        if frame.valid is not None:
            hidden = ~torch.cat([level.valid for level in levels], dim=1)[:, None, None]
        looked_at = _Seen(
            tokens,
            sines(frame.inward(places), self.width // 2),
            grids,
            (images.shape[-2], images.shape[-1]),
            hidden,
            frame,
        )
        groups = self.two_stage.active_groups
        stages = [Stage(start.logits, frame.outward(start.boxes_cxcywh))]
        stages += self._decoded(start.content, start.references_cxcywh, looked_at, groups=groups)
        denoised = None
        if self.denoising is not None and self.training:
            noised = self.denoising(objects, frame, images)
            found = self._decoded(
                noised.content, noised.references_cxcywh, looked_at, sees=noised.sees
            )
            denoised = Denoised(found, noised.objects, noised.positive)
        return Detections(stages, groups, denoised)

    def _decoded(
        self, x: Tensor, references_cxcywh: Tensor, seen: _Seen, **among: Any
    ) -> list[Stage]:
        stages = []
        parts = zip(self.layers, self.biases, self.classes, self.boxes, strict=True)
        for layer, bias, classes, boxes in parts:
            x = layer(
                x,
                self.position(sines(references_cxcywh, self.width // 2)),
                context=seen.tokens,
                mask=seen.mask(bias, references_cxcywh),
                context_position=seen.position,
                **among,
            )
            answer = moved(references_cxcywh, boxes(x))
            stages.append(Stage(classes(x), seen.frame.outward(answer)))
            references_cxcywh = answer.detach()
        return stages

    def flops(self, backbone: Any, height: int, width: int) -> int:
        """Of backbone and head, for one image; in training with all groups and copies."""
        grid = backbone.grid(height, width)
        grids = self.neck.grids(grid)
        tokens = token_count(grids)
        total = backbone.flops(height, width) + self.neck.flops(grid) + self.two_stage.flops(tokens)
        total += self._flops(self.two_stage.count(tokens), grids, self.two_stage.active_groups)
        if self.denoising is not None and self.training:
            total += self._flops(2 * self.denoising.num_queries, grids)
        return total

    def _flops(self, queries: int, grids: Sequence[Grid], groups: int = 1) -> int:
        """Of all layers and their predictors."""
        total, every = 0, groups * queries
        parts: Any = zip(self.layers, self.biases, self.classes, self.boxes, strict=True)
        for layer, bias, classes, boxes in parts:
            total += self.position.flops(every) + boxes.flops(every)
            total += layer.flops(queries, token_count(grids), groups)
            total += sum(bias.flops(every, grid) for grid in grids)
            total += 2 * every * classes.weight.numel()
        return total

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.layers)

    def no_weight_decay(self) -> set[str]:
        return undecayed(self, "two_stage.content", "two_stage.change", "denoising.labels")
