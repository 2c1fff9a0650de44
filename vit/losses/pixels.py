"""What maps of classes are trained by: `task/pixel_loss=…`, one class for each choice.

Of any batch a loss answers with sums and with what they are to be divided by, so that batches,
processes and images filled up with void change nothing but the numbers of pixels. All is computed
in float32 whatever the precision of the model; nothing waits for the device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vit.losses.lovasz import lovasz_softmax
from vit.structures import IGNORED

Logits = Float[Tensor, "batch classes height width"]
Labels = Int[Tensor, "batch height width"]
Weights = Float[Tensor, " classes"]


class Sum(NamedTuple):
    """A loss as a sum over pixels, or over the classes that images show, and their number."""

    total: Float[Tensor, ""]
    number: Int[Tensor, ""]
    weight: float = 1.0  # of total / number among several


class PixelLoss(ABC):
    """A loss of maps of classes.

    A new one extends this class; what a config sets are keyword-only arguments.
    """

    def __repr__(self) -> str:  # by which one check tells one choice from another
        return f"{type(self).__qualname__}({vars(self)})"

    def __str__(self) -> str:  # for people
        return type(self).__name__

    @abstractmethod
    def sums(self, logits: Logits, labels: Labels, weights: Weights | None) -> dict[str, Sum]:
        """By name, what is minimised: the sum of weight × total / number.

        Logits and labels are of one size, pixels labelled 255 count nowhere. `weights` multiply
        the loss of each class's pixels, or of the class; nothing divides by their sum, so that a
        pixel counts the same in any company.
        """


class CrossEntropy(PixelLoss):
    """The mean over pixels of −log p of the right class."""

    def __str__(self) -> str:
        return "cross-entropy"

    def sums(self, logits: Logits, labels: Labels, weights: Weights | None) -> dict[str, Sum]:
        logits = _precise(logits)
        weights = None if weights is None else weights.to(logits.dtype)
        total = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED, reduction="sum")
        return {"cross_entropy": Sum(total, (labels != IGNORED).sum())}


class Focal(PixelLoss):
    """Cross-entropy whose pixels count by (1 − p)^gamma: less, the surer they are right.

    Source: Lin et al. 2017, arXiv:1708.02002, equation 4, with a softmax for their sigmoid; their
    alpha are weights of classes.
    """

    def __init__(self, *, gamma: float = 2.0):
        if not 0 <= gamma < math.inf:
            raise ValueError(f"task.pixel_loss.gamma={gamma}; wanted 0 (cross-entropy) or more.")
        self.gamma = gamma

    def __str__(self) -> str:
        return f"focal, gamma {self.gamma:g}"

    def sums(self, logits: Logits, labels: Labels, weights: Weights | None) -> dict[str, Sum]:
        valid = labels != IGNORED
        right = labels.where(valid, 0)
        log = _precise(logits).log_softmax(1).gather(1, right[:, None])[:, 0]
        # The power of an exact 0 has a slope without end where gamma is below 1.
        losses = (-torch.expm1(log)).clamp(min=1e-12).pow(self.gamma) * -log
        if weights is not None:
            losses = losses * weights.to(losses.dtype)[right]
        return {"focal": Sum(losses.where(valid, 0).sum(), valid.sum())}


class Dice(PixelLoss):
    """1 − 2 Σ p g / (Σ p² + Σ g²) of each class that an image shows, over the image's pixels.

    A class counts the same however few its pixels are.

    Source: Milletari et al. 2016, arXiv:1606.04797, section 3.
    """

    def __str__(self) -> str:
        return "dice"

    def sums(self, logits: Logits, labels: Labels, weights: Weights | None) -> dict[str, Sum]:
        shares, shown, valid = _by_class(logits, labels)
        shares = shares * valid[:, None]
        both = (shares * shown).sum(-1)
        each = shares.square().sum(-1) + shown.sum(-1)
        present = shown.any(-1)
        losses = 1 - 2 * both / each.where(present, 1)
        return {"dice": _over_present(losses, present, weights)}


class Lovasz(PixelLoss):
    """1 − IoU, continued to shares, of each class that an image shows: vit/losses/lovasz.py."""

    def __str__(self) -> str:
        return "Lovász-softmax"

    def sums(self, logits: Logits, labels: Labels, weights: Weights | None) -> dict[str, Sum]:
        shares, shown, valid = _by_class(logits, labels)
        losses = lovasz_softmax(shares, shown, valid)
        return {"lovasz": _over_present(losses, shown.any(-1), weights)}


class WeightedSum(PixelLoss):
    """Several of them added up, each times its weight; one of weight 0 is left out.

    Args:
        cross_entropy, focal, dice, lovasz: the weights.
        gamma: of focal.

    Raises ValueError for a weight below 0, or where all are 0.
    """

    def __init__(
        self,
        *,
        cross_entropy: float = 1.0,
        focal: float = 0.0,
        dice: float = 1.0,
        lovasz: float = 0.0,
        gamma: float = 2.0,
    ):
        weights = {"cross_entropy": cross_entropy, "focal": focal, "dice": dice, "lovasz": lovasz}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"task.pixel_loss.{name}={weight}; wanted a weight, 0 or more.")
        if not any(weights.values()):
            raise ValueError(f"task.pixel_loss: {', '.join(weights)} are all 0; wanted one above.")
        made = (CrossEntropy(), Focal(gamma=gamma), Dice(), Lovasz())
        pairs = zip(made, weights.values(), strict=True)
        self.losses = [(loss, weight) for loss, weight in pairs if weight]

    def __str__(self) -> str:
        return " + ".join(
            f"{loss}" if weight == 1 else f"{weight:g} × {loss}" for loss, weight in self.losses
        )

    def sums(self, logits: Logits, labels: Labels, weights: Weights | None) -> dict[str, Sum]:
        return {
            name: own._replace(weight=weight * own.weight)
            for loss, weight in self.losses
            for name, own in loss.sums(logits, labels, weights).items()
        }


def _precise(values: Tensor) -> Tensor:
    """At least float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _by_class(
    logits: Logits, labels: Labels
) -> tuple[
    Float[Tensor, "batch classes pixels"],
    Bool[Tensor, "batch classes pixels"],
    Bool[Tensor, "batch pixels"],
]:
    """Shares of the classes, which class is there, and which pixels count."""
    shares = _precise(logits).softmax(1).flatten(2)
    labels = labels.flatten(1)
    classes = torch.arange(shares.shape[1], device=labels.device)
    return shares, labels[:, None] == classes[:, None], labels != IGNORED


def _over_present(
    losses: Float[Tensor, "batch classes"],
    present: Bool[Tensor, "batch classes"],
    weights: Weights | None,
) -> Sum:
    if weights is not None:
        losses = losses * weights.to(losses.dtype)
    return Sum(losses.where(present, 0).sum(), present.sum())
