"""From recorded attention to maps of what an answer came from.

Sources: Abnar & Zuidema 2020, arXiv:2005.00928 (rollout); Chefer, Gur & Wolf 2021,
arXiv:2103.15679 (relevance; equations are numbered as there).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vit.explain.record import Look, Recording


@dataclass
class Relevance:
    """How much each token counts: `own` among the backbone's, `cross` of those for the queries.

    `cross` is None where no queries looked at the backbone's tokens.
    """

    own: Float[Tensor, "batch tokens tokens"]
    cross: Float[Tensor, "batch queries tokens"] | None = None


def rollout(looks: list[Look], patches: int = 0) -> Float[Tensor, "batch tokens tokens"]:
    """Product over the layers of ½ · (mean of heads) + ½ · identity, rows normalised to 1.

    Tokens that join on the way stand before the last `patches` and come from themselves alone.
    """
    total: Tensor | None = None
    for look in looks:
        mixed = _with_identity(look.weights.detach().mean(1))
        layer = mixed / mixed.sum(-1, keepdim=True)
        total = layer if total is None else layer @ _joined(total, layer.shape[-1], patches)
    assert total is not None, "rollout wants at least one layer"
    return total


def _with_identity(mean: Tensor) -> Tensor:
    return (mean + torch.eye(mean.shape[-1], device=mean.device, dtype=mean.dtype)) / 2


def relevance(
    recording: Recording, target: Tensor, *, patches: int = 0, keep_graph: bool = False
) -> Relevance:
    """Gradient-weighted relevance for `target`, a number that the recorded pass has computed.

    Of a batch pass the sum of a number for each: images do not see one another. Attention of the
    backbone follows equation 6, that of queries among themselves 6 and 7, that of queries to the
    backbone's last tokens 10. `patches` is as in `rollout`; `keep_graph` is for asking again.

    Raises ValueError where the pass ran without gradients.
    """
    looks = recording.looks
    if not target.requires_grad:
        raise ValueError("the recorded pass has no graph; run it with torch.enable_grad().")
    gradients = torch.autograd.grad(
        target, [look.weights for look in looks], retain_graph=keep_graph, allow_unused=True
    )
    first = recording.backbone[0].weights
    own = _identity(first, first.shape[-1])  # eq. 1
    among = cross = None
    for look, gradient in zip(looks, gradients, strict=True):
        weights = look.weights.detach()
        if gradient is None:
            gradient = torch.zeros_like(weights)
        change = (gradient * weights).clamp(min=0).mean(1)  # eq. 5
        if look.of_backbone:
            own = _joined(own, change.shape[-1], patches)
            own = own + change @ own  # eq. 6
            continue
        if among is None or cross is None:
            queries = change.shape[1]
            among = _identity(weights, queries)  # eq. 1
            cross = weights.new_zeros(len(weights), queries, own.shape[-1])  # eq. 2
        if look.cross:
            seen = _normalised(own)[:, own.shape[1] - change.shape[-1] :]
            cross = cross + _normalised(among).mT @ change @ seen  # eq. 10
        else:
            cross = cross + change @ cross  # eq. 7
            among = among + change @ among  # eq. 6
    return Relevance(own, cross)


def _joined(total: Tensor, count: int, patches: int) -> Tensor:
    """`total` for `count` tokens: those that it lacks stand before the last `patches`."""
    known = total.shape[-1]
    if known == count:
        return total
    ends = torch.arange(known, device=total.device)
    kept = ends + (count - known) * (ends >= known - patches)
    grown = _identity(total, count).clone()
    grown[:, kept[:, None], kept] = total
    return grown


def _identity(like: Tensor, count: int) -> Tensor:
    return torch.eye(count, device=like.device, dtype=like.dtype).expand(len(like), -1, -1)


def _normalised(matrix: Tensor) -> Tensor:
    """Equations 8 and 9: what came in addition to the identity, each row as a share of 1."""
    identity = _identity(matrix, matrix.shape[-1])
    more = matrix - identity
    sums = more.sum(-1, keepdim=True)
    return more / torch.where(sums == 0, torch.ones_like(sums), sums) + identity
