"""The Jaccard loss, 1 − IoU, continued from sets to shares: the Lovász-softmax loss."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def lovasz_softmax(
    shares: Float[Tensor, "batch classes pixels"],
    shown: Bool[Tensor, "batch classes pixels"],
    valid: Bool[Tensor, "batch pixels"],
) -> Float[Tensor, "batch classes"]:
    """The Lovász extension of each class's Jaccard loss, of each image by itself.

    `shares` are softmax probabilities, `shown` which class each pixel has, `valid` which pixels
    count. Where all shares are 0 or 1 it is 1 − IoU of the class. Of a class that an image does not
    show it is 0 here: its IoU would be 0 for a single false pixel, whatever the others are.

    The extension is piecewise linear in the errors, so that its slopes are computed without
    gradients and then multiply them: nothing of the sorting is kept for the backward pass. One
    image at a time, since sorting takes several times the memory of what is sorted.

    Source: Berman et al. 2018, arXiv:1705.08790, equations 8 and 11, algorithm 1.
    """
    valid = valid[:, None]
    errors = (shown.to(shares.dtype) - shares).abs() * valid
    with torch.no_grad():
        slopes = torch.stack(
            [_slopes(*image) for image in zip(errors, shown & valid, valid, strict=True)]
        )
    return (errors * slopes).sum(-1)


def _slopes(
    errors: Float[Tensor, "classes pixels"],
    shown: Bool[Tensor, "classes pixels"],
    valid: Bool[Tensor, "1 pixels"],
) -> Float[Tensor, "classes pixels"]:
    """What the Jaccard loss grows by as each pixel joins those with larger errors."""
    # What does not count comes last, and so changes nothing for the others.
    order = errors.where(valid, -1).argsort(dim=-1, descending=True, stable=True)
    ranked = shown.gather(-1, order)
    # Whole numbers: exact for any picture, and the same in every run on a GPU.
    found = ranked.cumsum(-1, dtype=torch.int32)
    false = (~ranked).cumsum(-1, dtype=torch.int32)
    total = found[:, -1:]
    losses = 1 - (total - found).to(errors.dtype) / (total + false).clamp(min=1)
    growth = torch.cat([losses[:, :1], losses[:, 1:] - losses[:, :-1]], dim=-1)
    return torch.zeros_like(errors).scatter(-1, order, growth * (total > 0))
