"""Where a token stands in its sequence.

Every part here is called as `position(dim=…, heads=…, length=…)` with the most tokens of a training
sequence, and has two ways to act: `forward` changes the tokens once, `rotation` gives a function
that the attention of every block applies to queries and keys. `start` is the place of the first
token, where earlier ones were seen before.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.position import Rotation


class NoTokenPosition(nn.Module):
    """The tokens stay a set, but for what a causal mask tells. Also the base of the other parts."""

    def __init__(self, dim: int, heads: int, length: int):
        super().__init__()
        self.length = length

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], start: int = 0
    ) -> Float[Tensor, "batch tokens dim"]:
        return tokens

    def rotation(self, start: int, stop: int) -> Rotation | None:
        """What to do to queries and keys of the tokens start, …, stop - 1."""
        return None


class LearnedTokenPosition(NoTokenPosition):
    """A learned vector for each place, added. Raises ValueError beyond the last one."""

    def __init__(self, dim: int, heads: int, length: int):
        super().__init__(dim, heads, length)
        self.table = nn.Parameter(torch.zeros(length, dim))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], start: int = 0
    ) -> Float[Tensor, "batch tokens dim"]:
        stop = start + tokens.shape[1]
        if stop > self.length:
            raise ValueError(
                f"a sequence of {stop} tokens, and positions were learned for {self.length}. "
                "Shorten it, or train with backbone/position=token/sinusoidal or token/rope."
            )
        return tokens + self.table[start:stop]


class SinusoidalPosition(NoTokenPosition):
    """Fixed sines and cosines of the place, added; wavelengths from 2π to 2π·temperature tokens.

    Sines and cosines take turns, as in the founding article; with `interleaved=False` the sines
    come first and then the cosines, as in Marian. Raises ValueError unless 2 divides dim.

    Args:
        temperature: the longest wavelength is 2π times it, in tokens.
        interleaved: whether sines and cosines take turns.

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """

    table: Tensor

    def __init__(
        self,
        dim: int,
        heads: int,
        length: int,
        *,
        temperature: float = 10_000.0,
        interleaved: bool = True,
    ):
        super().__init__(dim, heads, length)
        if dim % 2:
            raise ValueError(f"sinusoidal positions need an even width; backbone.dim={dim}.")
        self.dim, self.temperature, self.interleaved = dim, temperature, interleaved
        self.register_buffer("table", self._waves(0, length, None), persistent=False)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], start: int = 0
    ) -> Float[Tensor, "batch tokens dim"]:
        stop = start + tokens.shape[1]
        if stop <= self.length:
            return tokens + self.table[start:stop]
        return tokens + self._waves(start, stop, tokens.device).to(tokens.dtype)

    def _waves(self, start: int, stop: int, device: torch.device | None) -> Tensor:
        angles = _angles(start, stop, self.dim, self.temperature, device)  # [tokens, dim / 2]
        if self.interleaved:
            return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class RotaryPosition(NoTokenPosition):
    """Rotary positions: scores depend only on how far apart two tokens stand.

    Pairs of channels half a head apart turn by place · base^(−2i / head_dim) radians. Raises
    ValueError unless 2 divides the width of a head.

    Args:
        base: the larger, the slower the last pairs of channels turn, the further they tell apart.

    Source: Su et al. 2021 (RoFormer), arXiv:2104.09864; the pairs as in GPT-NeoX and LLaMA.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, dim: int, heads: int, length: int, *, base: float = 10_000.0):
        super().__init__(dim, heads, length)
        self.head_dim, self.base = dim // heads, base
        if self.head_dim % 2:
            raise ValueError(
                f"rotary positions need an even head width; dim={dim} over heads={heads} gives "
                f"{self.head_dim}. Change backbone.dim or backbone.heads."
            )
        angles = _angles(0, length, self.head_dim, base, None).repeat(1, 2)  # [tokens, head_dim]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def rotation(self, start: int, stop: int) -> Rotation:
        if stop <= self.length:
            return Rotation(self.cos[start:stop], self.sin[start:stop])
        device, dtype = self.cos.device, self.cos.dtype
        angles = _angles(start, stop, self.head_dim, self.base, device).repeat(1, 2)
        return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


def _angles(
    start: int, stop: int, dim: int, base: float, device: torch.device | None
) -> Float[Tensor, "tokens half"]:
    places = torch.arange(start, stop, dtype=torch.float32, device=device)
    steps = torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim
    return places[:, None] * torch.exp(-math.log(base) * steps)
