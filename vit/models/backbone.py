"""The vision transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vit.layers.attention import Attention, check_heads
from vit.layers.block import Block
from vit.layers.mlp import Mlp
from vit.layers.norm import LayerNorm
from vit.layers.parts import AttentionPart, MlpPart, NormPart, PatchPart, PositionPart
from vit.layers.patch import LinearPatch, drop_patches
from vit.layers.position import LearnedPosition
from vit.models.backbone_head import block_depths, vectors_and
from vit.models.backbone_keys import build_part, check_count, check_rate, require_all
from vit.models.pretrained.starting import start_from
from vit.structures import Features, Grid


class ViT(nn.Module):
    """A vision transformer, in stages that models can use one by one.

    `embed` makes tokens, `encode` takes them through the blocks, `forward` does both. In between,
    tokens are [prefix, patches]: class token, registers, then whatever a model adds, and the
    patches last. Models may drop patches (`kept` says which are left), add tokens between prefix
    and patches, or walk part of the way by `advance` and end with `finish`.

    `image_size` (height, width in pixels) fixes the grid of the position table; any other image
    whose sides divide by `patch_size` works too. With `weights` it starts from those: the keys
    must then be those of their architecture, which `vit train backbone.weights=…` and
    `vit.models.pretrained` see to. The parts `patch`, `position`, `norm`, `mlp` and
    `attention` are called with what the backbone knows (see vit.layers.parts). Rates are off at 0,
    `layer_scale` at None: then there is no module, and the numbers are the plain model's.
    `drop_path` is the rate of the last block, rising from 0 in the first, or that of all blocks
    ("constant", as DeiT-III). `patch_dropout` leaves that share of the patches out of a training
    pass, so `Features.patches` are then fewer than its grid says.

    Args:
        dim: width of the tokens.
        depth: number of blocks.
        heads: of the attention of each block; they divide `dim`.
        mlp_ratio: hidden width of each block's mlp over `dim`.
        patch_size: side of a patch, in pixels.
        class_token: a learned token before the patches, which head/pool=cls reads.
        registers: further learned tokens before the patches, which no head reads; arXiv:2309.16588.
        qkv_bias: whether queries, keys and values have biases.
        key_bias: whether the keys have one, where the others do; DINOv3's have none.
        proj_bias: whether the projection after the attention has one.
        mlp_bias: whether the mlp has them.
        qk_norm: normalise queries and keys, head by head.
        layer_scale: start of a learned scale a channel that each branch is multiplied by; None for
            no such scale.
        drop_path: rate at which a whole branch is left out for a sample, in training.
        dropout: rate behind the positions, each attention and in each mlp, in training.
        attention_dropout: rate of attention weights left out, in training.
        patch_dropout: share of the patches that training leaves out.
        gradient_checkpointing: compute blocks anew in the backward pass: less memory, more time.
        input_norm: a norm before the first block, as in CLIP.
        output_norm: what the last norm is for: every token, the vector that a head pools of them
            (which leaves the tokens as they are), or nothing: then there is none.
        prefix_positions: how many of the tokens before the patches have a learned position, too.
        partial_patches: leave out the rows and columns of pixels that fill no whole patch.
        weights: what to start from, `timm:NAME`, `hf:NAME`, `torchvision:NAME`, `file:PATH` or
            `run:RUN_DIR`; see vit.models.pretrained.

    Raises ValueError where sizes do not divide, or a rate is out of range.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        *,
        dim: int = 192,
        depth: int = 12,
        heads: int = 3,
        patch_size: int = 16,
        patch: Callable[..., PatchPart] = LinearPatch,
        position: Callable[..., PositionPart] = LearnedPosition,
        norm: Callable[..., NormPart] = LayerNorm,
        mlp: Callable[..., MlpPart] = Mlp,
        attention: Callable[..., AttentionPart] = Attention,
        mlp_ratio: float = 4.0,
        class_token: bool = False,
        registers: int = 0,
        qkv_bias: bool = True,
        key_bias: bool = True,
        proj_bias: bool = True,
        mlp_bias: bool = True,
        qk_norm: bool = False,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        drop_path_mode: Literal["linear", "constant"] = "linear",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        patch_dropout: float = 0.0,
        gradient_checkpointing: bool = False,
        input_norm: bool = False,
        output_norm: Literal["tokens", "pooled", "none"] = "tokens",
        prefix_positions: int = 0,
        partial_patches: bool = False,
        weights: str | None = None,
    ):
        super().__init__()
        hidden = int(dim * mlp_ratio)
        if min(dim, depth, patch_size, hidden) < 1 or registers < 0:
            raise ValueError(
                f"dim={dim}, depth={depth}, patch_size={patch_size} and dim·mlp_ratio={hidden} "
                f"must be at least 1 and registers={registers} at least 0. "
                "Change them under backbone."
            )
        self.dim, self.depth, self.heads, self.patch_size = dim, depth, heads, patch_size
        self.has_class_token = class_token
        self.num_prefix = int(class_token) + registers
        self.dropout, self.patch_dropout = dropout, patch_dropout
        self.output_norm, self.partial_patches = output_norm, partial_patches
        self.gradient_checkpointing = gradient_checkpointing
        rates = {
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "patch_dropout": patch_dropout,
            "drop_path": drop_path,
        }
        require_all(
            partial(check_heads, dim, heads),
            partial(self.grid, *image_size),
            partial(check_count, "prefix_positions", prefix_positions, self.num_prefix),
            *(partial(check_rate, name, rate) for name, rate in rates.items()),
        )
        grid = self.grid(*image_size)

        self.patch: Any = build_part(
            "patch", patch, channels=channels, dim=dim, patch_size=patch_size
        )
        self.position = build_part("position", position, dim=dim, heads=heads, grid=grid)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.registers = nn.Parameter(torch.zeros(1, registers, dim)) if registers else None
        for tokens in (self.class_token, self.registers):
            if tokens is not None:
                nn.init.normal_(tokens, std=1e-6)
        count = prefix_positions
        self.prefix_position = nn.Parameter(torch.zeros(1, count, dim)) if count else None
        self.input_norm = norm(dim) if input_norm else None
        constant = drop_path_mode == "constant"
        self.blocks: Any = nn.ModuleList(
            Block(
                dim,
                build_part(
                    "attention",
                    attention,
                    dim=dim,
                    heads=heads,
                    qkv_bias=qkv_bias,
                    key_bias=key_bias,
                    proj_bias=proj_bias,
                    qk_norm=norm if qk_norm else None,
                    dropout=attention_dropout,
                    proj_dropout=dropout,
                ),
                build_part("mlp", mlp, dim=dim, hidden=hidden, bias=mlp_bias, dropout=dropout),
                norm,
                layer_scale=layer_scale,
                drop_path=drop_path if constant else drop_path * number / max(1, depth - 1),
            )
            for number in range(depth)
        )
        self.norm = None if output_norm == "none" else norm(dim)
        self.remarks: list[str] = []  # for whoever checks the model
        if weights is not None:
            self.remarks = start_from(self, weights, image_size, channels)

    def grid(self, height: int, width: int) -> Grid:
        """The patches of an image of this many pixels; ValueError where it does not divide."""
        size = self.patch_size
        partial = bool(height % size or width % size) and not self.partial_patches
        if height < size or width < size or partial:
            raise ValueError(
                f"image is {height}x{width} px; both sides must divide by patch_size={size}. "
                "Change data.image_size or backbone.patch_size, or set "
                "backbone.partial_patches=true to leave the rest of the pixels out."
            )
        return Grid(height // size, width // size)

    def forward(
        self, images: Float[Tensor, "batch channels height width"], blocks: tuple[int, ...] = ()
    ) -> Features:
        """`blocks` asks for the patch tokens after those blocks, too: 0 the first, -1 the last."""
        tokens, grid = self.embed(images)
        kept = None
        if self.patch_dropout and self.training:
            tokens, kept = drop_patches(tokens, self.num_prefix, self.patch_dropout)
        return self.encode(tokens, grid, blocks, kept=kept)

    def embed(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch tokens dim"], Grid]:
        """Prefix and patch tokens with their positions, before the first block."""
        grid = self.grid(*images.shape[-2:])
        if self.partial_patches:
            size = self.patch_size
            images = images[..., : grid.rows * size, : grid.cols * size]
        tokens = self.position(self.patch(images), grid)
        if self.num_prefix:
            expanded = [part.expand(len(images), -1, -1) for part in self._prefix()]
            tokens = torch.cat([*expanded, tokens], dim=1)
        if self.dropout:
            tokens = nn.functional.dropout(tokens, self.dropout, self.patch.training)
        if self.input_norm is not None:
            tokens = self.input_norm(tokens)
        return tokens, grid

    def encode(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        grid: Grid,
        blocks: tuple[int, ...] = (),
        *,
        kept: Int[Tensor, "batch kept"] | None = None,
        mask: Tensor | None = None,
    ) -> Features:
        """Takes tokens of `embed`, or a model's own arrangement of them, through all blocks.

        `kept` are the row-major numbers of the patches that are there, where a model dropped
        some; `mask` goes to every block (see `vit.layers.softmax_attention.attention`).
        """
        wanted = [self._block_number(number) for number in blocks]
        num_patches = self._num_patches(grid, kept)
        taken: dict[int, Tensor] = {}
        done = 0
        for number in sorted(set(wanted)):
            tokens = self.advance(tokens, grid, done, number + 1, kept=kept, mask=mask)
            taken[number] = tokens[:, tokens.shape[1] - num_patches :]
            done = number + 1
        tokens = self.advance(tokens, grid, done, self.depth, kept=kept, mask=mask)
        features = self.finish(tokens, grid, kept=kept)
        features.blocks = tuple(taken[number] for number in wanted)
        return features

    def advance(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        grid: Grid,
        start: int,
        stop: int,
        *,
        kept: Int[Tensor, "batch kept"] | None = None,
        mask: Tensor | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Through the blocks start, …, stop - 1; arguments as in `encode`."""
        extra = tokens.shape[1] - self._num_patches(grid, kept)
        rotate = self.position.rotation(grid, extra, kept)
        for block in self.blocks[start:stop]:
            if self.gradient_checkpointing and block.training:
                tokens = checkpoint(block, tokens, mask, rotate=rotate, use_reentrant=False)
            else:
                tokens = block(tokens, mask, rotate=rotate)
        return tokens

    def finish(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        grid: Grid,
        *,
        kept: Int[Tensor, "batch kept"] | None = None,
    ) -> Features:
        """Normalises, and parts the patch tokens from all that stand before them."""
        pooled: Any = self.norm if self.output_norm == "pooled" else None
        if self.norm is not None and pooled is None:
            tokens = self.norm(tokens)
        extra = tokens.shape[1] - self._num_patches(grid, kept)
        patches, prefix = tokens[:, extra:], tokens[:, :extra]
        return Features(patches=patches, grid=grid, prefix=prefix, pooled_norm=pooled)

    def flops(self, height: int, width: int) -> int:
        """Matrix products of one forward pass for one image; one multiply and add are two."""
        grid = self.grid(height, width)
        tokens = grid.rows * grid.cols + self.num_prefix
        return self.patch.flops(height, width) + sum(block.flops(tokens) for block in self.blocks)

    def depths(self) -> dict[str, int]:
        """How deep each parameter lies: 0 the embeddings, 1…depth the blocks, then the norm."""
        return block_depths(self, self.depth)

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return list(self.blocks)

    def no_weight_decay(self) -> set[str]:
        """Biases, norms, gains, and tokens and positions that are learned one by one."""
        return vectors_and(self, _UNDECAYED)

    def _prefix(self) -> list[Tensor]:
        """Class token and registers, with the positions that some of them have."""
        tokens = (self.class_token, self.registers)
        parts: list[Tensor] = [part for part in tokens if part is not None]
        if self.prefix_position is None:
            return parts
        prefix = torch.cat(parts, dim=1)
        count = self.prefix_position.shape[1]
        return [prefix[:, :count] + self.prefix_position, prefix[:, count:]]

    def _num_patches(self, grid: Grid, kept: Tensor | None) -> int:
        return grid.rows * grid.cols if kept is None else kept.shape[1]

    def _block_number(self, number: int) -> int:
        if not -self.depth <= number < self.depth:
            raise ValueError(
                f"block {number} was asked for; this backbone has the blocks 0 to "
                f"{self.depth - 1} (or -{self.depth} to -1). Ask for one of these."
            )
        return number % self.depth


# By the first word of a parameter's name.
_UNDECAYED = ("class_token", "registers", "position", "prefix_position")
