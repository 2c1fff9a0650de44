"""What was said of each sample of an evaluation, in the order of the split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

from vit.runs.distributed import several_ranks
from vit.runs.predictions import Predictions, hash_of_names


class PerSample:
    """Keeps a class and its probability for each sample, on the device until `compute`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._found: Predictions | None = None

    def update(
        self,
        index: Int[Tensor, " batch"],
        logits: Float[Tensor, "batch classes"],
        probabilities: Float[Tensor, "batch classes"],
        targets: Int[Tensor, " batch"],
    ) -> None:
        """Adds a batch without waiting for the device; of equal logits the lowest class counts."""
        confidence = probabilities.float().amax(-1)
        self._parts.append((index, targets, logits.argmax(-1), confidence))

    def compute(self) -> None:
        """Brings all samples of all ranks together; every rank must call it."""
        columns: list[np.ndarray] = [np.zeros(0, np.int64)] * 3 + [np.zeros(0, np.float32)]
        if self._parts:  # a rank may have had no samples
            parts = zip(*self._parts, strict=True)
            columns = [torch.cat(part).cpu().numpy() for part in parts]
        self._parts = []
        shares = [columns]
        if several_ranks():
            gathered: list = [None] * dist.get_world_size()
            dist.all_gather_object(gathered, columns)
            shares = gathered
        index, target, predicted, confidence = map(np.concatenate, zip(*shares, strict=True))
        order = np.argsort(index, kind="stable")
        self._found = Predictions(index[order], target[order], predicted[order], confidence[order])

    def collected(
        self, split: str, name: Callable[[str, int], str] | None = None
    ) -> Predictions | None:
        """What `compute` found, marked by the samples' names where somebody knows them."""
        if self._found is None or name is None:
            return self._found
        names = (name(split, at) for at in self._found.index.tolist())
        return replace(self._found, samples=hash_of_names(names))
