"""Randomness as a pure function of (seed, epoch, sample), wherever a sample is prepared."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_MASK = (1 << 64) - 1


def sample_seed(seed: int, epoch: int, index: int, purpose: int = 0, view: int = 0) -> int:
    """A 63-bit number that differs for every sample of every epoch of every seed.

    `purpose` parts the uses within one sample, so that adding one leaves the others' draws alone,
    and `view` the views of one sample; the first is seeded as a sample that has no others.

    Source: the finaliser of SplitMix64, Steele et al. 2014, doi:10.1145/2714064.2660195.
    """
    state = 0
    for word in (seed, epoch, index, purpose + (view << 32)):
        state = (state ^ (word & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def seed_everything_used(number: int) -> None:
    """Seeds the three generators that augmentations draw from; not the accelerators'.

    `torch.manual_seed` would also reseed CUDA, whose state belongs to the model's dropout.
    """
    torch.default_generator.manual_seed(number)
    np.random.seed(number & 0xFFFFFFFF)
    random.seed(number)


@contextmanager
def borrowed_generators() -> Iterator[None]:
    """Leaves torch's, NumPy's and Python's global generators as they were before the block."""
    torch_state = torch.default_generator.get_state()
    numpy_state = np.random.get_state()
    python_state = random.getstate()
    try:
        yield
    finally:
        torch.default_generator.set_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
