"""From a backbone's tokens to vectors: what a feature of an image is, and of which blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.layers.pool import ClsPool, MeanPool
from vit.structures import Features

Pool = Literal["cls", "mean", "cls+mean", "head"]
POOLS: tuple[Pool, ...] = ("cls", "mean", "cls+mean", "head")
HEAD: Literal["head"] = "head"


def parts_of(pool: Pool, blocks: int) -> tuple[str, ...]:
    """The vectors that are joined, in this order: `cls@1` is the class token after the last block.

    Several blocks give their vectors from the first to the last; `cls+mean` has behind them the
    mean of the last block's patches.

    Source: `create_linear_input` of DINOv2's eval/linear.py.
    """
    if pool == HEAD:
        return (HEAD,)
    kind = "mean" if pool == "mean" else "cls"
    parts = tuple(f"{kind}@{back}" for back in range(blocks, 0, -1))
    return (*parts, "mean@1") if pool == "cls+mean" else parts


def joined(vectors: dict[str, Tensor], pool: Pool, blocks: int) -> Float[Tensor, "samples dim"]:
    """What a reader of that pool and so many blocks sees."""
    parts = [vectors[name] for name in parts_of(pool, blocks)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def pool_of(head: Any) -> nn.Module | None:
    """The part of a head that makes one vector of the tokens; None where it has none."""
    pool = getattr(head, "pool", None)
    return pool if isinstance(pool, nn.Module) else None


def usual_pool(backbone: Any, head: Any = None) -> Pool:
    """The head's own way, or without one the class token, or without that the mean."""
    if pool_of(head) is not None:
        return HEAD
    usual: Pool = "cls" if getattr(backbone, "has_class_token", False) else "mean"
    return usual


def known_pools(backbone: Any, head: Any = None) -> tuple[Pool, ...]:
    """Those that such a model can be asked for."""
    found: list[Pool] = ["mean"]
    if getattr(backbone, "has_class_token", False):
        found = ["cls", "mean", "cls+mean"]
    return (*found, *(("head",) if pool_of(head) is not None else ()))


def grid_pools(backbone: Any, head: Any = None) -> tuple[Pool, ...]:
    """Those that a grid tries: DINOv2's two; the mean without a class token; a learned pool too."""
    tokens: tuple[Pool, ...] = (
        ("cls", "cls+mean") if getattr(backbone, "has_class_token", False) else ("mean",)
    )
    learned = not isinstance(pool_of(head), ClsPool | MeanPool | None)
    return (*tokens, "head") if learned else tokens


def most_blocks(backbone: Any) -> int:
    """How many of its last blocks a backbone can be asked of: all, or only the last."""
    if hasattr(backbone, "last_features"):
        return int(backbone.known_blocks)
    stages = all(hasattr(backbone, stage) for stage in ("embed", "advance", "finish"))
    return int(backbone.depth) if stages else 1


def last_features(backbone: Any, images: Tensor, count: int) -> list[Features]:
    """What the backbone would answer were it to end after each of its last blocks, last first.

    All go through its last norm, as in DINOv2's `get_intermediate_layers(norm=True)`.
    """
    if count == 1:
        return [backbone(images)]
    if hasattr(backbone, "last_features"):
        return backbone.last_features(images, count)
    tokens, grid = backbone.embed(images)
    found: list[Features] = []
    done = 0
    for stop in range(backbone.depth - count + 1, backbone.depth + 1):
        tokens = backbone.advance(tokens, grid, done, stop)
        found.append(backbone.finish(tokens, grid))
        done = stop
    return found[::-1]


def vectors(
    backbone: Any, images: Tensor, names: Iterable[str], head: Any = None
) -> dict[str, Tensor]:
    """The vectors of these names (see `parts_of`), each [batch, dim], float32, where they are."""
    names = list(names)
    count = max((int(name.partition("@")[2] or 1) for name in names), default=1)
    layers = last_features(backbone, images, count)
    return {name: _vector(layers, name, head).float() for name in names}


def _vector(layers: list[Features], name: str, head: Any) -> Tensor:
    kind, _, back = name.partition("@")
    found = layers[int(back or 1) - 1]
    if kind == "cls":
        return _normalised(found.prefix[:, 0], found)
    return pooled(found, pool_of(head) if kind == HEAD else None, found.mask)


def pooled(
    found: Features, pool: nn.Module | None, real: Bool[Tensor, "batch tokens"] | None = None
) -> Float[Tensor, "batch dim"]:
    """The tokens as one vector, by a head's `pool`, or without one their mean.

    `real` is false where a token only fills up. Where the backbone's last norm is for pooled
    vectors (`Features.pooled_norm`), it follows, as it does in the head.
    """
    if pool is not None:
        return _normalised(
            pool(found.patches, found.prefix, *(() if real is None else (real,))), found
        )
    if real is None:
        return _normalised(found.patches.mean(1), found)
    kept = real[:, :, None].to(found.patches.dtype)
    mean = (found.patches * kept).sum(1) / kept.sum(1).clamp(min=1)
    return _normalised(mean, found)


def _normalised(vector: Tensor, found: Features) -> Tensor:
    return vector if found.pooled_norm is None else found.pooled_norm(vector)
