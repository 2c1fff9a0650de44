"""Which parameters learn how fast, and which of them decay: a table that can be printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn


def param_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    head_lr_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """Every trainable parameter in exactly one group, from the embeddings to the head.

    A group's rate is `lr * layer_decay ** (deepest - depth)`; the deepest parameters (the head
    and what follows the last block) are scaled by `head_lr_scale` besides. What the model names
    in `no_weight_decay()` has none. A model that says nothing of itself lies at depth 0, and its
    biases and other vectors do not decay.

    Each group holds `params`, `lr`, `weight_decay`, and for printing `name` and `depth`;
    `decays` tells the kind even where `weight_decay` is 0.

    Source: Bao et al. 2021, arXiv:2106.08254 (layer-wise decay for vision transformers).
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError("the model has no trainable parameter; nothing would be learnt.")
    depths: dict[str, int] = _asked_of(model, "depths") or dict.fromkeys(named, 0)
    still: set[str] | None = _asked_of(model, "no_weight_decay")
    if still is None:
        still = {name for name, p in named.items() if p.ndim < 2 or name.endswith("bias")}
    deepest = max(depths.values())
    kinds = sorted({(depths[name], name not in still) for name in named})
    groups = []
    for depth, decays in kinds:
        scale = layer_decay ** (deepest - depth)
        if depth == deepest:
            scale *= head_lr_scale
        members = [
            name for name in named if depths[name] == depth and (name not in still) == decays
        ]
        groups.append(
            {
                "params": [named[name] for name in members],
                "lr": lr * scale,
                "weight_decay": weight_decay if decays else 0.0,
                "name": f"depth {depth}, {'decayed' if decays else 'not decayed'}",
                "depth": depth,
                "decays": decays,
            }
        )
    return groups


def all_depths(model: nn.Module) -> set[int]:
    """The depths at which the model has parameters, those that are not trained among them."""
    depths: dict[str, int] = _asked_of(model, "depths") or {"": 0}
    return set(depths.values())


def _asked_of(model: nn.Module, method: str) -> Any:
    """What the model says of itself, or None: any torch module may be trained."""
    ask = getattr(model, method, None)
    return ask() if callable(ask) else None


def table(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A printable row for each group: depth, lr, weight_decay, tensors, parameters."""
    return [
        {
            "depth": group["depth"],
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
            "tensors": len(group["params"]),
            "parameters": sum(p.numel() for p in group["params"]),
        }
        for group in groups
    ]
