"""Queries that join the backbone's last blocks and answer with masks: EoMT."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.norm import LayerNorm
from vit.models.heads.parts import check_counts, undecayed
from vit.models.heads.valid_patches import ValidPatches
from vit.structures import Detections, Grid, Objects, Stage

POWER = 0.9  # of the way from masked to unmasked attention, as published


class MasksHead(nn.Module):
    """Each query answers one class, or "no object", and one mask.

    Learned queries stand beside the patches in the last `joint_blocks` blocks, which are the
    backbone's own: nothing else decodes. A mask is the product of a query with the patch tokens
    at four times their resolution or so. In training the queries answer before each of these
    blocks too, and there attend only to patches within their masks, the less often the further
    training is: `set_progress` says how far. At the end attention is free, and costs no mask.

    The blocks must let tokens in, so the backbone is our own ViT and none of timm's.

    Args:
        num_queries: answers for an image, and so the most objects that it can find there.
        joint_blocks: of the backbone, its last ones, through which the queries go.

    Raises ValueError for a count below 1, or more joint blocks than the backbone has.

    Source: Kerssies et al. 2025, arXiv:2503.19108.
    """

    no_object = True
    needs_stages = (
        "head=masks, whose queries join the last blocks; of boxes head=deformable and of a class "
        "for each pixel head=semantic do without"
    )
    progress: Tensor

    def __init__(
        self,
        dim: int,
        num_classes: int,
        patch_size: int,
        depth: int,
        *,
        num_queries: int = 200,
        joint_blocks: int = 4,
    ):
        super().__init__()
        check_counts(num_queries=num_queries, joint_blocks=joint_blocks)
        if joint_blocks > depth:
            raise ValueError(
                f"head.joint_blocks={joint_blocks}, but the backbone has {depth} blocks."
            )
        self.joint_blocks = joint_blocks
        self.queries = nn.Parameter(torch.randn(1, num_queries, dim))
        self.classes = nn.Linear(dim, num_classes + 1)
        self.mask = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim)
        )
        doublings = max(1, int(math.log2(patch_size)) - 2)
        self.upscale = nn.Sequential(*(Doubling(dim) for _ in range(doublings)))
        # Part of a checkpoint, since a model half-way was trained with half of the masks.
        self.register_buffer("progress", torch.zeros(()))
        self._masked = (True,) * joint_blocks
        self.register_load_state_dict_post_hook(_look_again)

    def set_progress(self, fraction: float) -> None:
        """Says what share of the training is done, 0 to 1."""
        self.progress.fill_(fraction)
        self._masked = self._mostly_masked(fraction)

    def mask_probability(self, block: int, progress: Tensor) -> Tensor:
        """Of a query being held to its mask in the joint block; the first is set free first.

        Each takes its turn for a part of the training, between parts that hold all and none.
        """
        start = (block + 1) / (self.joint_blocks + 2)
        return (1 - (progress - start) * (self.joint_blocks + 2)).clamp(0, 1) ** POWER

    def _mostly_masked(self, fraction: float) -> tuple[bool, ...]:
        """What evaluation does, where nothing is drawn."""
        at = torch.tensor(fraction)
        return tuple(bool(self.mask_probability(b, at) > 0.5) for b in range(self.joint_blocks))

    def forward(
        self,
        backbone: Any,
        images: Float[Tensor, "batch channels height width"],
        *,
        padding: Bool[Tensor, "batch height width"] | None = None,
        objects: Objects | None = None,
    ) -> Detections:
        tokens, grid = backbone.embed(images)
        frame = ValidPatches.of(padding, grid)
        first, prefix = backbone.depth - self.joint_blocks, backbone.num_prefix
        tokens = backbone.advance(tokens, grid, 0, first, mask=frame.keys(prefix))
        own, patches = tokens.tensor_split([prefix], dim=1)
        queries = self.queries.expand(len(images), -1, -1).to(tokens.dtype)
        tokens = torch.cat([own, queries, patches], dim=1)
        seen = frame.keys(prefix + queries.shape[1])
        stages = []
        for block in range(self.joint_blocks):
            mask = seen
            if self.training or self._masked[block]:
                stage = self._answer(backbone, tokens, grid, frame)
                mask = self._held(stage, block, grid, prefix, seen)
                stages += [stage] if self.training else []
            tokens = backbone.advance(tokens, grid, first + block, first + block + 1, mask=mask)
        return Detections([*stages, self._answer(backbone, tokens, grid, frame)])

    def _answer(self, backbone: Any, tokens: Tensor, grid: Grid, frame: ValidPatches) -> Stage:
        features = backbone.finish(tokens, grid)
        queries, patches = features.prefix[:, backbone.num_prefix :], features.patches
        if frame.valid is not None:  # what is no image is not to be seen by its neighbours
            patches = patches.masked_fill(~frame.valid[..., None], 0.0)
        maps = patches.transpose(1, 2).unflatten(2, grid)
        masks = torch.einsum("bqc,bchw->bqhw", self.mask(queries), self.upscale(maps))
        return Stage(self.classes(queries), masks=masks)

    def _held(
        self, stage: Stage, block: int, grid: Grid, prefix: int, seen: Tensor | None
    ) -> Bool[Tensor, "batch 1 tokens tokens"]:
        """Which token may attend to which: queries to patches where their masks are, or to all."""
        assert stage.masks is not None
        within = F.interpolate(stage.masks.detach().float(), size=tuple(grid), mode="bilinear") > 0
        batch, queries = within.shape[:2]
        within = within.flatten(2)  # [batch, queries, patches]
        if self.training:
            draw = torch.rand(batch, queries, 1, device=within.device)
            within = within | (draw >= self.mask_probability(block, self.progress))
        before = prefix + queries
        rows = F.pad(within, (before, 0), value=True)
        mask = F.pad(rows, (0, 0, prefix, within.shape[2]), value=True)[:, None]
        return mask if seen is None else mask & seen

    def flops(self, backbone: Any, height: int, width: int) -> int:
        """Of backbone and head, one forward pass for one image; while in training all answers."""
        grid, queries = backbone.grid(height, width), self.queries.shape[1]
        alone = grid.rows * grid.cols + backbone.num_prefix
        joint = backbone.blocks[backbone.depth - self.joint_blocks :]
        more = sum(block.flops(alone + queries) - block.flops(alone) for block in joint)
        cells, answer = grid.rows * grid.cols, 0
        for doubling in self.upscale:
            answer += doubling.flops(cells)  # type: ignore[operator]
            cells *= 4
        dense = [layer for layer in self.mask if isinstance(layer, nn.Linear)]
        answer += 2 * queries * sum(layer.weight.numel() for layer in [*dense, self.classes])
        answer += 2 * queries * cells * self.queries.shape[2]
        answers = 1 + (self.joint_blocks if self.training else sum(self._masked))
        return backbone.flops(height, width) + more + answers * answer

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return []

    def no_weight_decay(self) -> set[str]:
        return undecayed(self, "queries")


class Doubling(nn.Module):
    """A map at twice its resolution: a transposed convolution, and one of each channel."""

    def __init__(self, dim: int):
        super().__init__()
        self.up = nn.ConvTranspose2d(dim, dim, kernel_size=2, stride=2)
        self.depthwise = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim, bias=False)
        self.norm = LayerNorm(dim, eps=1e-6)

    def forward(
        self, x: Float[Tensor, "batch dim rows cols"]
    ) -> Float[Tensor, "batch dim rows_doubled cols_doubled"]:
        x = self.depthwise(F.gelu(self.up(x)))
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def flops(self, cells: int) -> int:
        """Of one forward pass over a map of so many cells."""
        return 2 * cells * (self.up.weight.numel() + 4 * self.depthwise.weight.numel())


def _look_again(head: MasksHead, _: object) -> None:
    head._masked = head._mostly_masked(float(head.progress))
