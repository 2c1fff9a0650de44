"""k nearest neighbours on frozen features, weighed by their similarity."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

NEIGHBOURS = (10, 20, 100, 200)
TEMPERATURE = 0.07
AT_ONCE = 1 << 26  # similarities in memory: 256 MB


def nearest_classes(
    queries: Float[Tensor, "queries dim"],
    bank: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    num_classes: int,
    neighbours: Iterable[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    at_once: int = AT_ONCE,
) -> dict[int, Int[Tensor, " queries"]]:
    """For each number of neighbours the class that these vote for.

    Similarity is the cosine; a neighbour's vote weighs exp(similarity / temperature). Of equal
    sums the first class wins. Some queries at a time: no more than `at_once` similarities are held.
    Expects every number to be at most that of the samples.

    Source: `eval_knn.py` of DINO (Caron et al. 2021, arXiv:2104.14294).
    """
    asked = sorted(set(neighbours))
    bank = F.normalize(bank, dim=1)
    votes_of: dict[int, list[Tensor]] = {count: [] for count in asked}
    for part in F.normalize(queries, dim=1).split(max(at_once // max(len(bank), 1), 1)):
        nearest = (part @ bank.T).topk(asked[-1], dim=1)
        # The largest is taken off: a small temperature would leave the range of numbers.
        apart = (nearest.values - nearest.values[:, :1]).double() / temperature
        weights, classes = apart.exp(), labels[nearest.indices]
        votes = torch.zeros(len(part), num_classes, dtype=torch.float64, device=part.device)
        before = 0
        for count in asked:
            votes.scatter_add_(1, classes[:, before:count], weights[:, before:count])
            votes_of[count].append(votes.argmax(1))
            before = count
    return {
        count: torch.cat(found) if found else labels.new_zeros(0)
        for count, found in votes_of.items()
    }
