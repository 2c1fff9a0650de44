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
    tolerance: float = FINE,
    most_steps: int = MOST_STEPS,
    start: Regression | None = None,
) -> Regression:
    """The minimum of C · Σ cross-entropy + ½ Σ weights²; biases bear no penalty.

    Of two classes the penalty is that of the difference of their weights, as in scikit-learn. The
    minimum is unique up to a number that all biases may share. Ends where no entry of the scaled
    gradient (of that sum over C · samples) is above `tolerance`, after `most_steps`, or where
    float64 allows no further progress. `start` is a solution for another C.
    """
    samples, dim = vectors.shape
    # Of two classes scikit-learn has one vector, the difference of ours, which are opposite.
    penalty = (2.0 if num_classes == 2 else 1.0) / (C * samples)
    axes = _axes(vectors, num_classes, penalty)
    seen = torch.addmm(-axes.mean @ axes.turn, vectors.double(), axes.turn)
    weighed = penalty * axes.scale[:, None].square()
    packed = torch.zeros(dim + 1, num_classes, dtype=torch.float64, device=seen.device)
    if start is not None:
        packed[:dim] = (axes.turn / axes.scale.square()).T @ start.weights
        packed[dim] = start.biases + axes.mean @ start.weights
    packed.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [packed],
        max_iter=most_steps,
        max_eval=2 * most_steps,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=MEMORY,
        line_search_fn="strong_wolfe",
    )
    rows = torch.arange(samples, device=seen.device)

    @torch.no_grad()
    def closure() -> Tensor:
        inner, biases = packed[:dim], packed[dim]
        logs = torch.addmm(biases, seen, inner).log_softmax(1)
        loss = -logs[rows, labels].mean() + 0.5 * (weighed * inner.square()).sum()
        slope = logs.exp_()
        slope[rows, labels] -= 1
        slope /= samples
        packed.grad = torch.cat([(seen.T @ slope).addcmul_(weighed, inner), slope.sum(0)[None]])
        return loss

    optimizer.step(closure)
    closure()
    assert packed.grad is not None
    steps, final = int(optimizer.state[packed].get("n_iter", 0)), packed.detach()
    weights = axes.turn @ final[:dim]
    biases = final[dim] - axes.mean @ weights
    return Regression(C, weights, biases, steps, packed.grad.abs().max().item())


class Axes(NamedTuple):
    """A change of variables in which the objective is nearly as steep in every direction.

    Features less their mean, turned onto the axes of their covariance and scaled; the penalty stays
    a sum of squares, each with a weight of its own, so that the minimum is the very same.
    """

    mean: Float[Tensor, " dim"]
    turn: Float[Tensor, "dim dim"]  # its columns are the axes, scaled
    scale: Float[Tensor, " dim"]


def _axes(vectors: Float[Tensor, "samples dim"], num_classes: int, penalty: float) -> Axes:
    seen = vectors.double()
    mean = seen.mean(0)
    covariance = (seen.T @ seen) / len(seen) - mean[:, None] * mean
    spread, axes = torch.linalg.eigh(covariance)
    # The curvature of the loss where nothing is known yet: all classes are as likely.
    curved = spread.clamp(min=0) * (1 - 1 / num_classes) / num_classes
    scale = (curved + penalty).rsqrt()
    return Axes(mean, axes * scale, scale)


def path(
    vectors: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    num_classes: int,
    strengths: Iterable[float],
) -> Iterator[Regression]:
    """A solution for each C, from the smallest on, each begun where the one before ended.

    To `ROUGH` only: enough to choose by.
    """
    before: Regression | None = None
    for C in sorted(set(strengths)):
        before = fit(vectors, labels, num_classes, C, tolerance=ROUGH, start=before)
        yield before


def log_loss(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> float:
    """The mean of −log of what is given to the right class, in nats."""
    return -logits.log_softmax(1).gather(1, labels[:, None]).mean().item()
