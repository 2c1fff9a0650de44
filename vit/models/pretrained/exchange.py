"""Models of others as our backbone with the same function, and its weights as theirs again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vit.build import build
from vit.models.backbone import ViT
from vit.models.pretrained.conversion import (
    TIMM,
    TORCHVISION,
    Converted,
    hf_converted,
    hf_state,
    hf_tower,
)
from vit.models.pretrained.origin import Unfit
from vit.runs.checkpoint import misfit


def from_timm(model_or_state: Any, name: str = "") -> ViT:
    """Our backbone with the function of a plain vision transformer of timm's, in evaluation mode.

    Takes the model, or its tensors with its `name`. It has the weights' own image size; other
    sizes are served as timm does. Heads are left out; `Features.pooled_norm` is timm's `fc_norm`.
    Raises ValueError that names what our backbone cannot be.
    """
    return made(TIMM.converted(model_or_state, name))


def to_timm(backbone: ViT, model_or_name: Any) -> dict[str, Tensor]:
    """The weights by timm's names, byte for byte, for `load_state_dict` of a model without a head.

    `model_or_name` says of which model: all its tensors but those of heads must be there, else
    ValueError.
    """
    return TIMM.state_of(backbone, model_or_name)


def from_torchvision(model_or_state: Any, name: str = "") -> ViT:
    """As `from_timm`, of one of torchvision's ViTs (`vit_b_16`, …)."""
    return made(TORCHVISION.converted(model_or_state, name))


def to_torchvision(backbone: ViT, model_or_name: Any) -> dict[str, Tensor]:
    """As `to_timm`, by torchvision's names."""
    return TORCHVISION.state_of(backbone, model_or_name)


def from_hf(model_or_state: Any, config: Mapping[str, Any] | None = None) -> ViT:
    """As `from_timm`, of a ViT, DeiT, DINOv2, DINOv3, CLIP or SigLIP of transformers'.

    Takes the model, or its tensors with its config, as `config.json` has it; of models with a head
    or with texts their vision tower.
    """
    return made(hf_converted(model_or_state, config))


def to_hf(backbone: ViT, model: Any) -> dict[str, Tensor]:
    """As `to_timm`, by the names of the bare vision transformer inside of transformers' `model`."""
    return hf_state(backbone, hf_tower(model))


def made(found: Converted) -> ViT:
    """The backbone of converted weights, in their own type; ValueError where they do not fit."""
    origin = found.origin
    backbone: ViT = build(
        found.keys, (), image_size=tuple(origin.image_size), channels=origin.channels
    )
    if difference := misfit(found.state, backbone.state_dict()):
        raise Unfit(f"{origin.source}: {difference}")
    backbone.to(found.state["patch.proj.weight"].dtype)
    backbone.load_state_dict(found.state)
    return backbone.eval()
