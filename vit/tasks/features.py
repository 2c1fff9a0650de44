"""What a trained run's backbone makes of a person's inputs: a vector each, and one each patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.faults import Fault, Refused
from vit.models.detector import Detector
from vit.models.heads.valid_patches import encode_padded
from vit.probes.vectors import pool_of, pooled
from vit.structures import Features
from vit.tasks.inputs import AT_ONCE, images_of, padding_of
from vit.tasks.texts import tokens_of


class PatchFeatures(NamedTuple):
    """Of several inputs, on the CPU in float32.

    `patches` are one map an input, [rows, cols, dim], of the image as the model saw it; of a text
    its tokens, [1, tokens, dim], the end token among them.
    """

    vectors: Float[Tensor, "inputs dim"]
    patches: list[Tensor]


def features(trained: Any, inputs: Sequence[Any], *, patches: bool = False) -> PatchFeatures:
    """Of inputs as `vit.tasks.inputs.ready` gives them; without `patches` there are no maps.

    A vector is what the head's `pool` makes of the tokens; where the head has none, the mean of
    the patch tokens, without those that only fill up. Raises Refused for a model without a
    backbone.
    """
    model = trained.model
    if not isinstance(getattr(model, "backbone", None), nn.Module):
        message = f"are of a model's backbone, and a {type(model).__name__} has none"
        raise Refused([Fault("features", message)])
    vectors, maps = [], []
    with evaluating(model), torch.no_grad():  # unlike in inference mode, heads can learn from them
        for start in range(0, len(inputs), AT_ONCE):
            found, real = _encoded(trained, inputs[start : start + AT_ONCE])
            vectors.append(pooled(found, pool_of(model.head), real).float().cpu())
            maps += _maps(found) if patches else []
    return PatchFeatures(torch.cat(vectors), maps)


def _encoded(
    trained: Any, inputs: Sequence[Any]
) -> tuple[Features, Bool[Tensor, "batch tokens"] | None]:
    """The backbone's answer, and which of its patches are of the input; None for all."""
    backbone = trained.model.backbone
    if isinstance(inputs[0], str):
        found = backbone(tokens_of(trained, inputs))
        return found, found.mask
    images = images_of(trained, inputs)
    if not isinstance(trained.model, Detector):
        found = backbone(images)
        return found, found.mask
    found, frame = encode_padded(backbone, images, padding_of(trained, inputs))
    return found, frame.valid


def _maps(found: Features) -> list[Tensor]:
    """A map an input; of texts without the tokens that fill up the shorter ones."""
    patches = found.patches.float().cpu()
    if found.mask is not None:
        masks = found.mask.cpu()
        return [row[kept][None] for row, kept in zip(patches, masks, strict=True)]
    return list(patches.unflatten(1, found.grid))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode within; after it each part is again in the mode that it was in."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
