"""Stochastic depth."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, leaves a residual branch out for some samples, and makes up for it in the rest.

    Each sample keeps its branch with probability 1 - rate and is then divided by 1 - rate, so
    that the expected value stays. In evaluation it does nothing. The draws come from the global
    generator of the device: they follow the seed, but not a sample across other batch splits.

    Source: Huang et al. 2016, arXiv:1603.09382.
    """

    def __init__(self, rate: float):
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(
                f"drop_path rate is {rate}; it must be at least 0 and less than 1. "
                "Change backbone.drop_path; 0.1 is usual."
            )
        self.rate = rate

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        gate = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1))
        return x * gate.bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3g}"
