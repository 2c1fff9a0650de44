"""timm's plain vision transformers: what their classes tell, and what they call each tensor."""

from __future__ import annotations

from typing import Any

from vit.models.pretrained.origin import Origin, Unfit
from vit.models.pretrained.rules import (
    Rule,
    kernel,
    layer,
    positions,
    queries,
    same,
    stacked,
)

PLAIN = ("VisionTransformer", "VisionTransformerDistilled", "Eva")
BLOCKS = ("Block", "EvaBlock")
ATTENTIONS = ("Attention", "EvaAttention", "AttentionRope")
PATCHES = ("PatchEmbed",)
GELU = {"GELU": "exact", "GELUTanh": "tanh", "QuickGELU": "quick", "SiLU": "exact"}
NORMS = {"LayerNorm": False, "LayerNormFp32": False, "RmsNorm": True}
MLPS = ("Mlp", "GluMlp", "SwiGLU")
# Beside a backbone in timm's files; of heads, and of what can be computed again.
BESIDE = ("head.", "head_dist.", "attn_pool.", "head_drop.", "mask_token", "rope.periods")


def timm_origin(model: Any, source: str) -> Origin:
    """What a model of timm's is besides its tensors; Unfit where our backbone cannot be it."""

    def unfit(why: str) -> Unfit:
        return Unfit(f"{source} is no plain vision transformer of ours: {why}")

    kind = type(model).__name__
    if kind not in PLAIN:
        raise unfit(f"timm's class {kind}; wanted one of {', '.join(PLAIN)}")
    block = model.blocks[0]
    if type(block).__name__ not in BLOCKS:
        raise unfit(f"blocks of timm's class {type(block).__name__}")
    attention, mlp, norm = block.attn, block.mlp, block.norm1
    for part, known, what in (
        (attention, ATTENTIONS, "attention"),
        (model.patch_embed, PATCHES, "patches"),
        (norm, NORMS, "norms"),
        (mlp, MLPS, "an mlp"),
    ):
        if type(part).__name__ not in known:
            raise unfit(f"{what} of timm's class {type(part).__name__}")
    if _is_there(model.patch_embed.norm):
        raise unfit("a norm behind the patch embedding")
    if _is_there(getattr(attention, "norm", None)):
        raise unfit("a norm between the heads and their projection")
    if getattr(attention, "gate", None) is not None:
        raise unfit("gated attention")
    if getattr(attention, "num_kv_heads", attention.num_heads) != attention.num_heads:
        raise unfit("fewer heads of keys than of queries")
    if attention.head_dim * attention.num_heads != model.embed_dim:
        raise unfit("heads that are wider or narrower than the tokens")
    activation = type(mlp.act).__name__
    if activation not in GELU:
        raise unfit(f"the activation {activation}")
    gated = type(mlp).__name__ != "Mlp"
    if gated != (activation == "SiLU") or (gated and getattr(mlp, "gate_last", False)):
        raise unfit(f"an mlp {type(mlp).__name__} with {activation}")
    if not gated and _is_there(getattr(mlp, "norm", None)):
        raise unfit("a norm inside of an mlp that has no gate")
    patch = model.patch_embed.patch_size
    if patch[0] != patch[1]:
        raise unfit(f"patches of {patch[0]}x{patch[1]} px; wanted squares")
    embedded = 0 if model.no_embed_class or model.pos_embed is None else model.num_prefix_tokens
    settings = getattr(model, "pretrained_cfg", None) or {}
    approximate = getattr(mlp.act, "approximate", "none") == "tanh"
    height, width = model.patch_embed.img_size
    return Origin(
        source,
        heads=attention.num_heads,
        patch_size=patch[0],
        channels=model.patch_embed.proj.in_channels,
        image_size=(height, width),
        eps=norm.eps,
        rms=NORMS[type(norm).__name__],
        gelu="tanh" if approximate else GELU[activation],  # type: ignore[arg-type]
        gated=gated,
        separate=getattr(attention, "qkv", None) is None,
        key_bias=getattr(getattr(attention, "k_proj", None), "bias", None) is not None,
        split_gate=type(mlp).__name__ == "SwiGLU",
        prefix_positions=embedded,
        output_norm=_output_norm(model),
        rotary=_rotary(model, unfit),
        mean=tuple(settings.get("mean", ())),
        std=tuple(settings.get("std", ())),
        licence=settings.get("license"),
    )


def timm_rules(origin: Origin) -> list[Rule]:
    """From timm's names, of both of its classes, to ours."""
    norm = "fc_norm" if origin.output_norm == "pooled" else "norm"
    ours, theirs = "blocks.{}.", "blocks.{}."
    attention = f"{ours}attention", f"{theirs}attn"
    return [
        *kernel("patch_embed.proj"),
        *same("class_token", "cls_token"),
        *same("registers", "reg_token"),
        *same("registers", "dist_token"),
        *positions("pos_embed", origin),
        *layer("input_norm", "norm_pre"),
        *layer("norm", norm),
        *layer(f"{ours}norm1", f"{theirs}norm1"),
        *layer(f"{ours}norm2", f"{theirs}norm2"),
        *_queries(origin, *attention),
        *layer(f"{attention[0]}.query_norm", f"{attention[1]}.q_norm"),
        *layer(f"{attention[0]}.key_norm", f"{attention[1]}.k_norm"),
        *layer(f"{attention[0]}.proj", f"{attention[1]}.proj"),
        *same(f"{ours}scale1.gain", f"{theirs}ls1.gamma"),
        *same(f"{ours}scale2.gain", f"{theirs}ls2.gamma"),
        *same(f"{ours}scale1.gain", f"{theirs}gamma_1"),
        *same(f"{ours}scale2.gain", f"{theirs}gamma_2"),
        *_mlp(origin, f"{ours}mlp", f"{theirs}mlp"),
    ]


def _queries(origin: Origin, ours: str, theirs: str) -> list[Rule]:
    apart = [
        *same(f"{ours}.query_bias", f"{theirs}.q_bias"),
        *same(f"{ours}.value_bias", f"{theirs}.v_bias"),
    ]
    if not origin.separate:
        return [*layer(f"{ours}.qkv", f"{theirs}.qkv"), *apart]
    return queries(ours, [f"{theirs}.{part}_proj" for part in "qkv"], origin)


def _mlp(origin: Origin, ours: str, theirs: str) -> list[Rule]:
    rest = [*layer(f"{ours}.fc2", f"{theirs}.fc2"), *layer(f"{ours}.norm", f"{theirs}.norm")]
    if not origin.gated:
        return [*layer(f"{ours}.fc1", f"{theirs}.fc1"), *rest]
    if not origin.split_gate:
        return [*layer(f"{ours}.gate_value", f"{theirs}.fc1"), *rest]
    both = f"{theirs}.fc1_g", f"{theirs}.fc1_x"
    kinds = "weight", "bias"
    split = [stacked(f"{ours}.gate_value.{k}", [f"{each}.{k}" for each in both]) for k in kinds]
    return [*(rule for rules in split for rule in rules), *rest]


def _is_there(part: Any) -> bool:
    return part is not None and type(part).__name__ != "Identity"


def _output_norm(model: Any) -> Any:
    if _is_there(model.norm):
        if _is_there(model.fc_norm):
            raise Unfit("a norm of the tokens and another one of what is pooled")
        return "tokens"
    return "pooled" if _is_there(model.fc_norm) else "none"


def _rotary(model: Any, unfit: Any) -> dict[str, Any] | None:
    rope = getattr(model, "rope", None)
    if rope is None:
        return None
    kind = type(rope).__name__
    if kind == "RotaryEmbeddingDinoV3":
        usual = rope.normalize_coords == "separate" and rope.grid_indexing == "ij"
        if not (usual and rope.rotate_half and not rope.grid_offset and rope.min_period is None):
            raise unfit("rotary positions of DINOv3 in another arrangement")
        found: dict[str, Any] = {
            "_target_": "vit.layers.position.AxialRope",
            "base": rope.temperature,
        }
        for ours, theirs in (("shift", "shift"), ("jitter", "jitter"), ("rescale", "rescale")):
            if (value := getattr(rope, f"{theirs}_coords")) is not None:
                found[ours] = value
        return found
    usual = kind == "RotaryEmbeddingCat" and not rope.in_pixels and not rope.rotate_half
    if not usual or rope.grid_type != "index" or rope.aug_active:
        raise unfit(f"rotary positions of timm's class {kind}, in an arrangement of their own")
    reference = rope.ref_feat_shape
    return {
        "_target_": "vit.layers.interleaved_rope.InterleavedRope",
        "base": rope.temperature,
        "reference_grid": None if reference is None else list(reference),
        "offset": float(rope.grid_offset),
        "first": "cols" if rope.grid_indexing == "xy" else "rows",
    }
