"""Multinomial logistic regression with an L2 penalty, by L-BFGS in float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

STRENGTHS = tuple(10.0**power for power in range(-6, 6))  # C; DINOv2 has 45 in this range
MOST_STEPS = 1000
# Of the largest entry of the gradient of the mean loss: to choose by, and for the last fit.
ROUGH, FINE = 1e-5, 1e-8
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

    It is unique up to a number that all biases may share. Ends where no entry of the gradient of
    that sum over C · samples is above `tolerance`, after `most_steps`, or where float64 allows no
    further progress. `start` is a solution for another C.
    """
    seen = vectors.double()
    samples, dim = seen.shape
    packed = torch.zeros(dim + 1, num_classes, dtype=torch.float64, device=seen.device)
    if start is not None:
        packed[:dim], packed[dim] = start.weights, start.biases
    packed.requires_grad_()
    penalty = 1.0 / (C * samples)
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
        weights, biases = packed[:dim], packed[dim]
        logs = torch.addmm(biases, seen, weights).log_softmax(1)
        loss = -logs[rows, labels].mean() + 0.5 * penalty * weights.square().sum()
        slope = logs.exp_()
        slope[rows, labels] -= 1
        slope /= samples
        found = torch.empty_like(packed)
        torch.addmm(weights, seen.T, slope, beta=penalty, out=found[:dim])
        found[dim] = slope.sum(0)
        packed.grad = found
        return loss

    optimizer.step(closure)
    closure()
    assert packed.grad is not None
    steps = int(optimizer.state[packed].get("n_iter", 0))
    final = packed.detach()
    return Regression(C, final[:dim], final[dim], steps, packed.grad.abs().max().item())


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
