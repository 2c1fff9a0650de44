"""What is assumed of a file by timm's names with no config beside it; everything is said."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from torch import Tensor

from vit.models.pretrained.origin import Origin, Unfit

HEAD = 64  # channels: of nearly every published vision transformer
WIDTH_OF_H = 1280  # ViT-H, whose heads have 80


def assumed_timm_origin(state: Mapping[str, Tensor], source: str) -> Origin:
    """The origin that shapes and names leave likely: a square image, heads of 64 channels, ε 1e-6.

    Raises Unfit where they leave none, and for RoPE and gates, of which too much would be guessed.
    """
    dim, channels, patch = _kernel(state, "patch_embed.proj.weight", source)
    if any(".fc1_g." in name or "rope" in name or "q_proj" in name for name in state):
        raise Unfit(
            f"{source} is of a family (EVA-02, DINOv3) that its tensors alone do not tell; put the "
            "config.json that it was published with beside it"
        )
    tokens = [state[name] for name in ("cls_token", "reg_token", "dist_token") if name in state]
    prefix = sum(each.shape[1] for each in tokens)
    table = state.get("pos_embed")
    rows, embedded = 14, 0
    if table is not None:
        count = table.shape[1]
        sides = {isqrt(count - each): each for each in (0, prefix) if _is_square(count - each)}
        if not sides:
            raise Unfit(f"{source} has {count} positions, of no square image; wanted a config.json")
        rows, embedded = next(iter(sides.items()))
    final = "norm.weight" if "norm.weight" in state else "fc_norm.weight"
    heads = _heads(dim)
    return Origin(
        source,
        heads=heads,
        patch_size=patch,
        channels=channels,
        image_size=(rows * patch, rows * patch),
        prefix_positions=embedded,
        output_norm="pooled" if final == "fc_norm.weight" and final in state else "tokens",
        assumed=(f"heads={heads}", "norm.eps=1e-6", "mlp.gelu=exact"),
    )


def assumed_torchvision_origin(state: Mapping[str, Tensor], source: str) -> Origin:
    """The same of a file by torchvision's names, of whose models there are few."""
    dim, channels, patch = _kernel(state, "conv_proj.weight", source)
    count = state["encoder.pos_embedding"].shape[1] - 1
    if not _is_square(count):
        raise Unfit(f"{source} has {count} positions of patches, of no square image")
    heads = _heads(dim)
    return Origin(
        source,
        heads=heads,
        patch_size=patch,
        channels=channels,
        image_size=(isqrt(count) * patch, isqrt(count) * patch),
        prefix_positions=1,
        resize="bicubic_aligned",
        assumed=(f"heads={heads}",),
    )


def _heads(dim: int) -> int:
    return max(1, dim // (80 if dim == WIDTH_OF_H else HEAD))


def _kernel(state: Mapping[str, Tensor], name: str, source: str) -> tuple[int, int, int]:
    """Width, channels and patch size, as the kernel of a patch embedding has them."""
    shape = tuple(state[name].shape)
    if len(shape) != 4 or 0 in shape:
        raise Unfit(f"{source}: {name} is {shape}; wanted [dim, channels, rows, cols]")
    return shape[:3]


def _is_square(count: int) -> bool:
    return count > 0 and isqrt(count) ** 2 == count
