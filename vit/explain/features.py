"""Patch features of several images as colours that mean the same in all of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def shared_colours(
    patches: Float[Tensor, "images tokens dim"],
) -> tuple[Float[Tensor, "images tokens 3"], list[float]]:
    """The first three principal components over all images, each within [0, 1], and the share of
    the variance that each explains. A component's sign is such that its largest weight is positive.
    """
    flat = patches.flatten(0, 1).double()
    centred = flat - flat.mean(0)
    _, singular, rows = torch.linalg.svd(centred, full_matrices=False)
    rows = rows[:3]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    parts = centred @ (rows * largest.sign()).T
    if missing := 3 - parts.shape[1]:
        parts = torch.nn.functional.pad(parts, (0, missing))
    low, high = parts.quantile(0.01, dim=0), parts.quantile(0.99, dim=0)
    colours = ((parts - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    total = singular.square().sum().clamp(min=1e-12)
    shares = (singular[:3].square() / total).tolist()
    return colours.float().unflatten(0, patches.shape[:2]), shares
