"""A backbone that starts from weights of others: they are put in, and it is told what was done."""

from __future__ import annotations

from typing import Any

import torch

from vit.models.pretrained.conversion import Converted
from vit.models.pretrained.fitting import fitted
from vit.models.pretrained.sources import read_source
from vit.runs.checkpoint import misfit
from vit.runs.tensor_file import some


def start_from(
    backbone: Any, weights: str, image_size: tuple[int, int], channels: int
) -> list[str]:
    """Puts the weights in; what a person should know of it.

    On the meta device, as in the check, they are compared only. Raises ValueError where they do not
    fit.
    """
    with torch.device("cpu"):
        found = read_source(weights)
        resize = getattr(getattr(backbone.position, "added", backbone.position), "resize", None)
        state, done = fitted(found, image_size, channels, resize)
        wanted = backbone.state_dict()
        if difference := misfit(state, wanted):
            raise ValueError(f"backbone.weights={weights}: {difference}")
    if not any(each.is_meta for each in wanted.values()):
        backbone.load_state_dict(state)
    return remarks(found, done)


def remarks(found: Converted, done: list[str]) -> list[str]:
    """What was resized, left out and assumed."""
    said = [f"resized: {each}" for each in done]
    if found.left_out:
        said.append(f"left out of the file: {some(found.left_out)}")
    if found.origin.assumed:
        guessed = ", ".join(found.origin.assumed)
        said.append(f"assumed, since nothing beside the file tells: {guessed}")
    return [f"backbone.weights={found.origin.source}: {each}" for each in said]


def summary(
    found: Converted, image_size: tuple[int, int], channels: int, resize: Any = None
) -> dict[str, Any]:
    """What a run's stamp keeps of the weights that it started from, as plain values.

    Values of tensors are not looked at: they may be on the meta device.
    """
    origin = found.origin
    _, done = fitted(found, image_size, channels, resize)
    return {
        "source": origin.source,
        "sha256": found.sha256 or None,
        "licence": origin.licence,
        "loaded": len(found.state),
        "parameters": sum(tensor.numel() for tensor in found.state.values()),
        "image_size": list(origin.image_size),
        "resize": resize or origin.resize,
        "resized": done,
        "left_out": found.left_out,
        "assumed": list(origin.assumed),
        "new": ["head"],
    }
