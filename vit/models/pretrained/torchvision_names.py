"""torchvision's vision transformers: what their class tells, and what it calls each tensor."""

from __future__ import annotations

from typing import Any

from vit.models.pretrained.origin import Origin, Unfit
from vit.models.pretrained.rules import Rule, kernel, layer, positions, same

BESIDE = ("heads.",)


def torchvision_origin(model: Any, source: str) -> Origin:
    """What a model is besides its tensors; Unfit where it is none of torchvision's ViTs."""
    if type(model).__name__ != "VisionTransformer" or not hasattr(model, "conv_proj"):
        raise Unfit(f"{source} is a {type(model).__name__}; wanted torchvision's VisionTransformer")
    if not hasattr(model.conv_proj, "kernel_size"):
        raise Unfit(f"{source} has a stem of convolutions; wanted one layer of patches")
    block = model.encoder.layers[0]
    return Origin(
        source,
        heads=block.num_heads,
        patch_size=model.patch_size,
        channels=model.conv_proj.in_channels,
        image_size=(model.image_size, model.image_size),
        eps=block.ln_1.eps,
        prefix_positions=1,
        resize="bicubic_aligned",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


def torchvision_rules(origin: Origin) -> list[Rule]:
    """From torchvision's names to ours; those of its files from before 0.13, too."""
    ours, theirs = "blocks.{}", "encoder.layers.encoder_layer_{}"
    attention = f"{ours}.attention", f"{theirs}.self_attention"
    return [
        *kernel("conv_proj"),
        *same("class_token", "class_token"),
        *positions("encoder.pos_embedding", origin),
        *layer("norm", "encoder.ln"),
        *layer(f"{ours}.norm1", f"{theirs}.ln_1"),
        *layer(f"{ours}.norm2", f"{theirs}.ln_2"),
        *same(f"{attention[0]}.qkv.weight", f"{attention[1]}.in_proj_weight"),
        *same(f"{attention[0]}.qkv.bias", f"{attention[1]}.in_proj_bias"),
        *layer(f"{attention[0]}.proj", f"{attention[1]}.out_proj"),
        *layer(f"{ours}.mlp.fc1", f"{theirs}.mlp.0"),
        *layer(f"{ours}.mlp.fc2", f"{theirs}.mlp.3"),
        *layer(f"{ours}.mlp.fc1", f"{theirs}.mlp.linear_1"),
        *layer(f"{ours}.mlp.fc2", f"{theirs}.mlp.linear_2"),
    ]
