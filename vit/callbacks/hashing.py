"""Hashes of tensors that stay on the device: 64-bit numbers in int64, whose sums wrap around.

Integer sums have the same bits in any order, so a batch that was cut into parts, and shared by
processes, has the sum of the parts' hashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
MULTIPLIERS = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))
INCREMENT = 0x9E3779B97F4A7C15 - (1 << 64)
PART = 1 << 20  # numbers of a weight that are hashed at once


def samples_hash(index: Int[Tensor, " batch"]) -> Int[Tensor, ""]:
    """Which samples a batch holds, in whatever order."""
    return scrambled(index).sum()


def pixels_hash(
    images: Float[Tensor, "batch ..."], index: Int[Tensor, " batch"]
) -> Int[Tensor, ""]:
    """Every bit of the images, and which sample each belongs to, in whatever order."""
    rows = bits_hash(images.flatten(1))
    return scrambled(rows ^ scrambled(index)).sum()


def weights_hash(weights: Iterable[Tensor]) -> Int[Tensor, ""]:
    """Every bit of some tensors in their order."""
    hashes = torch.cat(
        [
            bits_hash(part)
            for weight in weights
            for part in weight.detach().reshape(1, -1).split(PART, 1)
        ]
    )
    return scrambled(hashes ^ scrambled(torch.arange(len(hashes), device=hashes.device))).sum()


def bits_hash(rows: Tensor) -> Int[Tensor, " rows"]:
    """A number for the bits of each row, by their places."""
    bits = rows.detach().contiguous().view(INTEGERS[rows.element_size()])
    # A 32-bit product keeps the memory of a batch of photographs at twice its own.
    bits = bits if bits.dtype == torch.int64 else bits.to(torch.int32)
    return (bits * _odd_numbers(bits.shape[1], bits.device).to(bits.dtype)).sum(
        1, dtype=torch.int64
    )


def scrambled(values: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """A one-to-one map of 64-bit numbers without any order in it.

    Source: the finaliser of SplitMix64, Steele et al. 2014, doi:10.1145/2714064.2660195.
    """
    state = values.long() + INCREMENT
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        state = (state ^ _shifted(state, shift)) * multiplier
    return state ^ _shifted(state, 31)


def _shifted(values: Tensor, by: int) -> Tensor:
    """To the right, filled with zeros: torch copies the sign instead."""
    return (values >> by) & ((1 << (64 - by)) - 1)


@lru_cache(maxsize=8)
def _odd_numbers(count: int, device: torch.device) -> Tensor:
    return (scrambled(torch.arange(count, device=device)) | 1).to(torch.int32)
