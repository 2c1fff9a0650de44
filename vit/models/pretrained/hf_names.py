"""Hugging Face's vision transformers: what their configs tell, and what they call each tensor.

Names are those of transformers 5; `modern` brings older files' to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vit.layers.table_resize import Resize
from vit.models.pretrained.origin import Origin, Unfit
from vit.models.pretrained.rules import (
    Rule,
    kernel,
    layer,
    positions,
    queries,
    same,
    stacked,
    vector,
)

GELU = {"gelu": "exact", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh", "quick_gelu": "quick"}
# Beside a backbone in their files.
BESIDE = (
    *("pooler.", "classifier.", "head.", "embeddings.mask_token", "embeddings.position_ids"),
    *("visual_projection", "cls_classifier.", "distillation_classifier.", "rope_embeddings."),
)


@dataclass(frozen=True)
class Family:
    """One `model_type`: its names, and what holds for all of its models."""

    block: str
    attention: str = "attention"
    proj: str = "o_proj"
    norms: tuple[str, str] = ("norm1", "norm2")
    norm: str = "layernorm"
    patch: str = "embeddings.patch_embeddings.projection"
    table: str | None = "embeddings.position_embeddings"
    positions: int = 1  # tokens before the patches that have one
    resize: Resize = "bicubic"
    pooled: bool = False  # the last norm is for the pooled token


_BEFORE = ("layernorm_before", "layernorm_after")
_TOWER = {
    "block": "encoder.layers.{}",
    "attention": "self_attn",
    "proj": "out_proj",
    "norms": ("layer_norm1", "layer_norm2"),
    "norm": "post_layernorm",
    "patch": "embeddings.patch_embedding",
    "table": "embeddings.position_embedding.weight",
}
FAMILIES: dict[str, Family] = {
    "vit": Family("layers.{}", norms=_BEFORE),
    "deit": Family("layers.{}", norms=_BEFORE, positions=2),
    "dinov2": Family("encoder.layer.{}", resize="bicubic_float32"),
    "dinov2_with_registers": Family("encoder.layer.{}", resize="bicubic_antialias"),
    "dinov3_vit": Family(
        "model.layer.{}",
        norm="norm",
        patch="embeddings.patch_embeddings",
        table=None,
        positions=0,
    ),
    "siglip_vision_model": Family(**_TOWER, positions=0),  # type: ignore[arg-type]
    "clip_vision_model": Family(**_TOWER, pooled=True),  # type: ignore[arg-type]
}
# Of files from before transformers 5, in this order.
OLDER = (
    (
        r"^encoder\.layer\.(\d+)\.(attention\.(attention|output)|intermediate|layernorm_|output)",
        r"layers.\1.\2",
    ),
    (r"^layer\.", "model.layer."),
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)


def modern(name: str, kind: str) -> str:
    """A tensor's name as transformers 5 has it, for a model of this `model_type`."""
    for pattern, instead in OLDER:
        name = re.sub(pattern, instead, name)
    if kind.startswith("dinov2"):
        name = re.sub(r"^layers\.", "encoder.layer.", name)
    return name


def family_of(kind: object) -> Family:
    if kind not in FAMILIES:
        raise Unfit(f"hf: a {kind!r} is none of {', '.join(FAMILIES)}")
    return FAMILIES[str(kind)]


def hf_origin(config: Mapping[str, Any], source: str) -> Origin:
    """What a config (`config.json`) tells; Unfit where our backbone cannot be its model."""
    kind = config.get("model_type")
    family, gated = (
        family_of(kind),
        bool(config.get("use_swiglu_ffn") or config.get("use_gated_mlp")),
    )
    activation = config.get("hidden_act", "gelu")
    usual = "silu" if kind == "dinov3_vit" and gated else activation
    if activation != usual or (not gated and activation not in GELU):
        raise Unfit(f"{source}: the activation {activation!r}; known are {', '.join(GELU)}")
    size: Any = config.get("image_size", 224)
    height, width = size if isinstance(size, list | tuple) else (size, size)
    rotary = None
    if kind == "dinov3_vit":
        moved = {key: config.get(f"pos_embed_{key}") for key in ("shift", "jitter", "rescale")}
        rotary = {
            "_target_": "vit.layers.position.AxialRope",
            "base": float(config.get("rope_theta", 100.0)),
            **{key: value for key, value in moved.items() if value is not None},
        }
    return Origin(
        source,
        heads=config["num_attention_heads"],
        patch_size=config.get("patch_size", 16),
        channels=config.get("num_channels", 3),
        image_size=(height, width),
        eps=config.get("layer_norm_eps", 1e-6),
        gelu=GELU.get(activation, "exact"),  # type: ignore[arg-type]
        gated=gated,
        separate=True,
        split_gate=True,
        key_bias=bool(config.get("key_bias", True)),
        prefix_positions=family.positions,
        output_norm="pooled" if family.pooled else "tokens",
        resize=family.resize,
        rotary=rotary,
        licence=config.get("license"),
    )


def hf_rules(origin: Origin, kind: str) -> list[Rule]:
    """From the names of a `model_type` to ours."""
    family, ours = family_of(kind), "blocks.{}"
    attention, mlp = f"{family.block}.{family.attention}", f"{family.block}.mlp"
    flat = family.table is not None and family.table.endswith(".weight")
    table = [] if family.table is None else positions(family.table, origin, batched=not flat)
    return [
        *kernel(family.patch),
        *same("class_token", "embeddings.cls_token"),
        *vector("class_token", "embeddings.class_embedding"),
        *same("registers", "embeddings.register_tokens"),
        *same("registers", "embeddings.distillation_token"),
        *table,
        *layer("input_norm", "pre_layrnorm"),  # as it is spelt there
        *layer("norm", family.norm),
        *layer(f"{ours}.norm1", f"{family.block}.{family.norms[0]}"),
        *layer(f"{ours}.norm2", f"{family.block}.{family.norms[1]}"),
        *queries(f"{ours}.attention", [f"{attention}.{part}_proj" for part in "qkv"], origin),
        *layer(f"{ours}.attention.proj", f"{attention}.{family.proj}"),
        *same(f"{ours}.scale1.gain", f"{family.block}.layer_scale1.lambda1"),
        *same(f"{ours}.scale2.gain", f"{family.block}.layer_scale2.lambda1"),
        *_mlp(f"{ours}.mlp", mlp, origin),
    ]


def _mlp(ours: str, theirs: str, origin: Origin) -> list[Rule]:
    if not origin.gated:
        return [
            *layer(f"{ours}.fc1", f"{theirs}.fc1"),
            *layer(f"{ours}.fc2", f"{theirs}.fc2"),
            *layer(f"{ours}.fc1", f"{theirs}.up_proj"),
            *layer(f"{ours}.fc2", f"{theirs}.down_proj"),
        ]
    parts = f"{theirs}.gate_proj", f"{theirs}.up_proj"
    return [
        *stacked(f"{ours}.gate_value.weight", [f"{each}.weight" for each in parts]),
        *stacked(f"{ours}.gate_value.bias", [f"{each}.bias" for each in parts]),
        *layer(f"{ours}.fc2", f"{theirs}.down_proj"),
        *layer(f"{ours}.gate_value", f"{theirs}.weights_in"),  # DINOv2 before transformers 5
        *layer(f"{ours}.fc2", f"{theirs}.weights_out"),
    ]
