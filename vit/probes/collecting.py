"""A pass over a split: the vectors of its samples, in the order of the split, on any number of
processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor

from vit.runs.distributed import several_ranks

TOLD_EVERY = 5.0  # seconds
Encode = Callable[[Tensor], dict[str, Tensor]]


@dataclass
class Vectors:
    """Of the samples of one split, in its order: `index` is the place of each in the split.

    Samples whose image could not be read, and was to be skipped, are not among them. `labels` are
    class numbers, or a row of zeros and ones where a sample may have several.
    """

    by_name: dict[str, Tensor]  # [samples, dim] each, float32
    labels: Tensor
    index: Int[Tensor, " samples"]

    def __len__(self) -> int:
        return len(self.index)

    def of(self, members: Tensor) -> Vectors:
        """Some of them, by their rows here."""
        by_name = {name: each[members] for name, each in self.by_name.items()}
        return Vectors(by_name, self.labels[members], self.index[members])

    def to(self, device: torch.device) -> Vectors:
        by_name = {name: each.to(device) for name, each in self.by_name.items()}
        return Vectors(by_name, self.labels.to(device), self.index.to(device))


def collected(
    encode: Encode,
    batches: Iterable[Any],
    device: torch.device,
    *,
    told: str | None = None,
    total: int = 0,
    after: Callable[[Any, int], None] = lambda batch, number: None,
) -> Vectors:
    """The vectors of all batches of this process, on the CPU; `after` is called with each batch.

    With `told` a line on stderr says every few seconds how far it is of `total` samples.
    """
    found: list[dict[str, Tensor]] = []
    labels, index = [], []
    done, spoke = 0, time.monotonic()
    for number, batch in enumerate(batches):
        vectors = encode(batch.images.to(device, non_blocking=True))
        found.append({name: each.cpu() for name, each in vectors.items()})
        labels.append(batch.targets)
        index.append(batch.index)
        done += len(batch)
        after(batch, number)
        if told and time.monotonic() - spoke > TOLD_EVERY:
            spoke = time.monotonic()
            print(f"features of {told}: {done:,} of {total:,}", file=sys.stderr, flush=True)
    by_name = {name: torch.cat([each[name] for each in found]) for name in found[0]}
    return in_order(Vectors(by_name, torch.cat(labels), torch.cat(index)))


def in_order(vectors: Vectors) -> Vectors:
    """By their place in the split."""
    return vectors.of(vectors.index.argsort(stable=True))


def of_all_ranks(own: Vectors, device: torch.device) -> Vectors:
    """The same of all processes, in the order of the split, on the CPU; every rank must call it.

    `device` is where this process group's collectives work.
    """
    if not several_ranks():
        return own
    by_name = {name: _gathered(each, device) for name, each in own.by_name.items()}
    return in_order(Vectors(by_name, _gathered(own.labels, device), _gathered(own.index, device)))


def _gathered(rows: Tensor, device: torch.device) -> Tensor:
    """The rows of all ranks, one rank behind the other, though their numbers differ."""
    count = torch.tensor([len(rows)], device=device)
    counts = [torch.zeros_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    lengths = [int(each.item()) for each in counts]
    filled = rows.new_zeros(max(lengths), *rows.shape[1:], device=device)
    filled[: len(rows)] = rows.to(device)
    parts = [torch.empty_like(filled) for _ in lengths]
    dist.all_gather(parts, filled)
    kept = [part[:length].cpu() for part, length in zip(parts, lengths, strict=True)]
    return torch.cat(kept)
