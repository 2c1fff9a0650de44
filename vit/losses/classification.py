"""Losses of class logits, one value per image; computed in float32 whatever the logits are."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(
    logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, " batch"]:
    """−Σ_c w_c t_c log p_c, with p the softmax; `targets` are class numbers or shares t.

    Smoothing by s turns t into (1 − s) t + s / classes. Weights multiply and nothing divides by
    their sum: torch's own mean would, so that an image would count more or less with the company
    it has in its batch.
    """
    return F.cross_entropy(
        logits.float(),
        targets,
        # float: under bf16-true Lightning makes even this buffer bf16
        weight=None if class_weights is None else class_weights.float(),
        reduction="none",
        label_smoothing=label_smoothing,
    )


def binary_cross_entropy(
    logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"],
    *,
    label_smoothing: float = 0.0,
    threshold: float | None = None,
    positive_weights: Float[Tensor, " classes"] | None = None,
) -> Float[Tensor, " batch"]:
    """Each class a yes-or-no question of its own; the mean over classes, per image.

    With a `threshold`, every class whose share is above it counts as wholly present: DeiT-III
    sets 0, so that an image mixed from two classes shows both. Smoothing comes after it, as in
    `cross_entropy`. `positive_weights` multiply the loss where a class is present.

    Source: Touvron et al. 2022, arXiv:2204.07118; the threshold, Wightman et al. 2021,
    arXiv:2110.00476.
    """
    shares = one_hot(targets, logits.shape[-1])
    if threshold is not None:
        shares = (shares > threshold).float()
    if label_smoothing:
        shares = (1 - label_smoothing) * shares + label_smoothing / logits.shape[-1]
    weights = None if positive_weights is None else positive_weights.float()
    losses = F.binary_cross_entropy_with_logits(
        logits.float(), shares, pos_weight=weights, reduction="none"
    )
    return losses.mean(dim=-1)


def one_hot(
    targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"], num_classes: int
) -> Float[Tensor, "batch classes"]:
    """Class numbers as rows of shares; shares as they are."""
    if targets.ndim == 2:
        return targets.float()
    return F.one_hot(targets, num_classes).float()
