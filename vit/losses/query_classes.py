"""Losses of the classes that queries answer: what to expect of a matched query, and of the others.

Each returns one number, a sum over queries and classes that is still to be divided by the number
of objects; only `softmax_cross_entropy` is a mean already. `matched` indexes the logits of matched
pairs, [image, query, class]; `overlap` is the IoU of their boxes, without gradient. Logits are
float32 here, and logarithms those of logits, so that nothing saturates into an infinity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Matched = tuple[Tensor, ...]
Logits = Float[Tensor, "batch queries classes"]
Overlap = Float[Tensor, " pairs"]

LEAST_QUALITY = 0.01  # what IA-BCE asks of a matched class at the least


def focal(
    logits: Logits,
    matched: Matched,
    overlap: Overlap | None,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Tensor, ""]:
    """Yes or no for each class, the more weight the further off; blind to boxes.

    Source: Lin et al. 2017, arXiv:1708.02002.
    """
    score, own = logits.sigmoid(), logits[matched]
    others = -(1 - alpha) * score**gamma * F.logsigmoid(-logits)
    wanted = -alpha * (1 - own.sigmoid()) ** gamma * F.logsigmoid(own)
    return others.index_put(matched, wanted).sum()


def varifocal(
    logits: Logits, matched: Matched, overlap: Overlap, *, alpha: float = 0.75, gamma: float = 2.0
) -> Float[Tensor, ""]:
    """A matched class aims at the IoU and weighs as much; weights carry no gradient.

    Source: Zhang et al. 2021, arXiv:2008.13367.
    """
    weight = alpha * logits.detach().sigmoid() ** gamma
    others = -weight * F.logsigmoid(-logits)
    return others.index_put(matched, overlap * _towards(logits[matched], overlap)).sum()


def iou_aware(
    logits: Logits, matched: Matched, overlap: Overlap, *, alpha: float = 0.25, gamma: float = 2.0
) -> Float[Tensor, ""]:
    """A matched class aims at score^α · IoU^(1 − α); the others' weights carry a gradient.

    Source: Chen et al. 2024 (LW-DETR), arXiv:2406.03459, equation 1.
    """
    own = logits[matched]
    quality = own.detach().sigmoid() ** alpha * overlap ** (1 - alpha)
    others = -(logits.sigmoid() ** gamma) * F.logsigmoid(-logits)
    return others.index_put(matched, _towards(own, quality.clamp(min=LEAST_QUALITY))).sum()


def matchability(
    logits: Logits,
    matched: Matched,
    overlap: Overlap,
    *,
    alpha: float = 1.0,
    gamma: float = 1.5,
) -> Float[Tensor, ""]:
    """A matched class aims at IoU^γ with full weight, so that poor matches are heard too.

    Source: Huang et al. 2024 (DEIM), arXiv:2412.04234, equation 2.
    """
    weight = alpha * logits.detach().sigmoid() ** gamma
    others = -weight * F.logsigmoid(-logits)
    return others.index_put(matched, _towards(logits[matched], overlap**gamma)).sum()


def softmax_cross_entropy(
    logits: Logits, matched: Matched, *, no_object_weight: float = 0.1
) -> Float[Tensor, ""]:
    """The mean over queries; those without an object aim at the last column, and weigh less.

    The mean is over weights, as in the source: it needs no number of objects. Without any weight,
    as where there are no images, it is 0.

    Source: Carion et al. 2020, arXiv:2005.12872, section 3.1.
    """
    nothing = logits.shape[-1] - 1
    classes = torch.full(logits.shape[:2], nothing, device=logits.device)
    classes = classes.index_put(matched[:2], matched[2]).flatten()
    weights = torch.ones(nothing + 1, device=logits.device)
    weights[nothing] = no_object_weight
    whole = F.cross_entropy(logits.flatten(0, 1), classes, weight=weights, reduction="sum")
    return whole / weights[classes].sum().clamp(min=torch.finfo(whole.dtype).tiny)


def _towards(logits: Tensor, share: Tensor) -> Tensor:
    """Binary cross-entropy against a share in [0, 1]."""
    return -share * F.logsigmoid(logits) - (1 - share) * F.logsigmoid(-logits)


SUMS: dict[str, Callable[..., Tensor]] = {
    "ia_bce": iou_aware,
    "mal": matchability,
    "vfl": varifocal,
    "focal": focal,
}
