"""Multinomial logistic regression with an L2 penalty, by L-BFGS in float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

STRENGTHS = tuple(10.0**power for power in range(-6, 6))  # C; DINOv2 has 45 in this range
MOST_STEPS = 1000
# The largest entry of the scaled gradient: to choose by, and for the last fit. What is lost is
# about half the sum of the squares of all.
ROUGH, FINE = 1e-4, 1e-7
MEMORY = 20  # pairs that L-BFGS remembers


@dataclass
class Regression:
    """`C` is the weight of the data's loss against the penalty, as in scikit-learn."""

    C: float
    weights: Float[Tensor, "dim classes"]
    biases: Float[Tensor, " classes"]
    steps: int
    slope: float  # what is left of the gradient, its largest entry

    def logits(self, vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        return vectors.to(self.weights.dtype) @ self.weights + self.biases


def fit(
    vectors: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    num_classes: int,
    C: float,
    *,
    start: Regression | None = None,
) -> Regression:
    """The minimum of C · Σ cross-entropy + ½ Σ weights²; biases bear no penalty.

    Of two classes the penalty is that of the difference of their weights, as in scikit-learn. The
    minimum is unique up to a number that all biases may share. Ends where no entry of the scaled
    gradient (of that sum over C · samples) is above `FINE`, after `MOST_STEPS`, or where float64
    allows no further progress. `start` is a solution for another C.
    """
    return _solved(_turned(vectors, torch.float64), labels, num_classes, C, FINE, start)


def path(
    vectors: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    num_classes: int,
    strengths: Iterable[float],
) -> Iterator[Regression]:
    """A solution for each C, from the smallest on, each begun where the one before ended.

    In float32 and to `ROUGH` only: enough to choose by.
    """
    turned = _turned(vectors, torch.float32)
    before: Regression | None = None
    for C in sorted(set(strengths)):
        before = _solved(turned, labels, num_classes, C, ROUGH, before)
        yield before


class Turned(NamedTuple):
    """Features less their mean, turned onto the axes of their covariance.

    Scaled axis by axis, the objective is nearly as steep in every direction, while the penalty
    stays a sum of squares, each with a weight of its own: the minimum is the very same.
    """

    seen: Float[Tensor, "samples dim"]
    mean: Float[Tensor, " dim"]  # these three in float64
    axes: Float[Tensor, "dim dim"]
    spread: Float[Tensor, " dim"]  # variance along each axis


def _turned(vectors: Float[Tensor, "samples dim"], dtype: torch.dtype) -> Turned:
    seen = vectors.double()
    mean = seen.mean(0)
    seen = seen - mean
    spread, axes = torch.linalg.eigh(seen.T @ seen / len(seen))
    return Turned((seen @ axes).to(dtype), mean, axes, spread.clamp(min=0))


def _solved(
    turned: Turned,
    labels: Int[Tensor, " samples"],
    num_classes: int,
    C: float,
    tolerance: float,
    start: Regression | None,
) -> Regression:
    seen, mean, axes, spread = turned
    samples, dim = seen.shape
    # Of two classes scikit-learn has one vector, the difference of ours, which are opposite.
    penalty = (2.0 if num_classes == 2 else 1.0) / (C * samples)
    # The curvature of the loss where nothing is known yet: all classes are as likely.
    exact = (spread * (1 - 1 / num_classes) / num_classes + penalty).rsqrt()[:, None]
    scale = exact.to(seen.dtype)
    weighed = penalty * scale.square()
    packed = torch.zeros(dim + 1, num_classes, dtype=seen.dtype, device=seen.device)
    if start is not None:
        packed[:dim] = axes.T @ start.weights / exact
        packed[dim] = start.biases + mean @ start.weights
    packed.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [packed],
        max_iter=MOST_STEPS,
        max_eval=2 * MOST_STEPS,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=MEMORY,
        line_search_fn="strong_wolfe",
    )
    rows = torch.arange(samples, device=seen.device)

    @torch.no_grad()
    def closure() -> Tensor:
        inner, biases = packed[:dim], packed[dim]
        logs = torch.addmm(biases, seen, scale * inner).log_softmax(1)
        loss = -logs[rows, labels].mean() + 0.5 * (weighed * inner.square()).sum()
        slope = logs.exp_()
        slope[rows, labels] -= 1
        slope /= samples
        of_inner = (seen.T @ slope).mul_(scale).addcmul_(weighed, inner)
        packed.grad = torch.cat([of_inner, slope.sum(0)[None]])
        return loss

    optimizer.step(closure)
    closure()
    assert packed.grad is not None
    steps, final = int(optimizer.state[packed].get("n_iter", 0)), packed.detach().double()
    weights = axes @ (exact * final[:dim])
    biases = final[dim] - mean @ weights
    return Regression(C, weights, biases, steps, packed.grad.abs().max().item())


def log_loss(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> float:
    """The mean of −log of what is given to the right class, in nats."""
    return -logits.log_softmax(1).gather(1, labels[:, None]).mean().item()
