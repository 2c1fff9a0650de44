"""What no tensor of a file tells of the model it is of, and the keys of our backbone that follow.

Sizes, biases, LayerScale and the like are read off the tensors, once they have our names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from vit.layers.mlp import Gelu
from vit.layers.table_resize import Resize

BLOCK = re.compile(r"blocks\.(\d+)\.")


class Unfit(ValueError):
    """A model that our backbone cannot be, with the reason by name."""


@dataclass(frozen=True)
class Origin:
    """Where weights are from, and what their tensors do not say.

    `image_size` is that of the position table, in pixels. `assumed` names what was guessed, since
    nothing beside the file told it.
    """

    source: str  # timm:vit_tiny_patch16_224
    heads: int
    patch_size: int
    channels: int
    image_size: tuple[int, int]
    eps: float = 1e-6
    rms: bool = False  # norms without a mean
    gelu: Gelu = "exact"
    gated: bool = False  # SwiGLU
    separate: bool = False  # queries, keys and values by matrices of their own
    key_bias: bool = True  # whether the keys have one, where these are apart
    split_gate: bool = False  # and so gate and value
    prefix_positions: int = 0
    output_norm: Literal["tokens", "pooled", "none"] = "tokens"
    resize: Resize = "bicubic_antialias"
    rotary: Mapping[str, Any] | None = None  # the part, as a config names it
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    licence: str | None = None
    assumed: tuple[str, ...] = field(default=())

    @property
    def grid(self) -> tuple[int, int]:
        """Whole patches of an image, downwards and across."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def partial_patches(self) -> bool:
        return any(side % self.patch_size for side in self.image_size)


def keys_of(state: Mapping[str, Tensor], origin: Origin) -> dict[str, Any]:
    """The keys of `backbone=vit` that weights by our names belong to, as a config has them."""
    numbers = [int(found[1]) for name in state if (found := BLOCK.match(name))]
    if not numbers or "patch.proj.weight" not in state:
        raise Unfit(f"{origin.source}: no blocks or no patch embedding among its tensors")
    dim = state["patch.proj.weight"].shape[0]
    first = "blocks.0."
    registers = state.get("registers")
    whole_bias = f"{first}attention.qkv.bias" in state
    gated = f"{first}mlp.gate_value.weight" in state
    hidden = state[f"{first}mlp.fc2.weight"].shape[1]
    return {
        "_target_": "vit.models.backbone.ViT",
        "dim": dim,
        "depth": max(numbers) + 1,
        "heads": origin.heads,
        "patch_size": origin.patch_size,
        "patch": _patch(state),
        "position": _position(state, origin),
        "norm": _norm(origin),
        "mlp": _mlp(state, origin, hidden, gated),
        "mlp_ratio": 4.0 if gated else _ratio(dim, hidden),
        "class_token": "class_token" in state,
        "registers": 0 if registers is None else registers.shape[1],
        "qkv_bias": whole_bias or f"{first}attention.query_bias" in state,
        "key_bias": f"{first}attention.query_bias" not in state,
        "proj_bias": f"{first}attention.proj.bias" in state,
        "mlp_bias": f"{first}mlp.fc2.bias" in state,
        "qk_norm": f"{first}attention.query_norm.weight" in state,
        "layer_scale": 1e-5 if f"{first}scale1.gain" in state else None,
        "input_norm": "input_norm.weight" in state,
        "output_norm": origin.output_norm if "norm.weight" in state else "none",
        "prefix_positions": origin.prefix_positions,
        "partial_patches": origin.partial_patches,
    }


def table_of(origin: Origin) -> str:
    """What the table of positions is called in our state."""
    return "position.table" if origin.rotary is None else "position.added.table"


def _ratio(dim: int, hidden: int) -> float:
    """The shortest number that gives the hidden width when the backbone multiplies by it."""
    for digits in range(1, 12):
        ratio = round(hidden / dim, digits)
        if int(dim * ratio) == hidden:
            return ratio
    return (hidden + 0.25) / dim


def _patch(state: Mapping[str, Tensor]) -> dict[str, Any]:
    bias = {} if "patch.proj.bias" in state else {"bias": False}
    return {"_target_": "vit.layers.patch.LinearPatch", "_partial_": True, **bias}


def _position(state: Mapping[str, Tensor], origin: Origin) -> dict[str, Any]:
    added = None
    if table_of(origin) in state or "position.table" in state:
        added = {
            "_target_": "vit.layers.position.LearnedPosition",
            "_partial_": True,
            "resize": origin.resize,
        }
    if origin.rotary is None:
        return added or {"_target_": "vit.layers.position.NoPosition", "_partial_": True}
    rotary = {"_partial_": True, **origin.rotary}
    if added is None:
        return rotary
    return {
        "_target_": "vit.layers.position.Combined",
        "_partial_": True,
        "added": added,
        "rotary": rotary,
    }


def _norm(origin: Origin) -> dict[str, Any]:
    kind = "RMSNorm" if origin.rms else "LayerNorm"
    return {"_target_": f"vit.layers.norm.{kind}", "_partial_": True, "eps": origin.eps}


def _mlp(state: Mapping[str, Tensor], origin: Origin, hidden: int, gated: bool) -> dict[str, Any]:
    if not gated:
        return {"_target_": "vit.layers.mlp.Mlp", "_partial_": True, "gelu": origin.gelu}
    inner = {"norm": _norm(origin)} if "blocks.0.mlp.norm.weight" in state else {}
    return {"_target_": "vit.layers.mlp.SwiGlu", "_partial_": True, "width": hidden, **inner}
