"""What attention keeps of earlier tokens, so that a next one need not compute it again."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

GROWTH = 64  # tokens of room that are made at a time


class Memory:
    """The keys and values of one attention, for tokens that come one after the other.

    Of tokens that attend to a context, the first call brings the whole context, and each later one
    none of it: `context[:, :0]`.
    """

    def __init__(self) -> None:
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extended(
        self,
        keys: Float[Tensor, "batch heads new head_dim"],
        values: Float[Tensor, "batch heads new head_dim"],
    ) -> tuple[Tensor, Tensor]:
        """All keys and values so far, with these at their end."""
        new = keys.shape[2]
        if self._keys is None or self._values is None:
            # As they came: most contexts are never added to.
            self._keys, self._values, self.length = keys, values, new
            return keys, values
        stop = self.length + new
        if stop > self._keys.shape[2]:
            room = keys.new_empty(*keys.shape[:2], stop + GROWTH - self.length, keys.shape[3])
            self._keys = torch.cat([self._keys[:, :, : self.length], room], dim=2)
            self._values = torch.cat([self._values[:, :, : self.length], room], dim=2)
        if new:
            self._keys[:, :, self.length : stop] = keys
            self._values[:, :, self.length : stop] = values
        self.length = stop
        return self._keys[:, :, :stop], self._values[:, :, :stop]

    def take(self, rows: Int[Tensor, " chosen"]) -> None:
        """Goes on with these rows of the batch, in this order; a row may come several times."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]


class BlockMemory:
    """Of one block: what its tokens, and the context that they attend to, left behind."""

    def __init__(self) -> None:
        self.tokens, self.context = Memory(), Memory()
