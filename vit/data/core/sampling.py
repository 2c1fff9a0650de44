"""Which samples make up which batch, as a pure function of seed, epoch and position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

POOL = 64  # batches among which samples of a like cost are sorted into batches


class Key(NamedTuple):
    """One sample in one epoch: all that its pixels depend on besides the seed.

    `borrowed` marks one of another slice of the global batch, here to be mixed into this slice's.
    `step` counts the epoch's optimizer steps, for what changes from step to step, such as the size.
    """

    epoch: int
    sample: int
    borrowed: bool = False
    step: int = 0


class EpochSampler(Sampler[list[Key]]):
    """Training batches: a new order every epoch, the same for any number of ranks or workers.

    Optimizer step b of an epoch sees `order[b * batch_size : (b + 1) * batch_size]`. That global
    batch is cut into accumulate × world_size equal slices; micro-step a of rank r takes slice
    `a * world_size + r`. What is left over after the last whole global batch waits for another
    epoch; a set smaller than one batch is one batch (cut evenly over the ranks).

    Before each epoch set `epoch`, and `start_batch` (counted in micro-batches of this rank) to
    start part-way; both are read when the iterator is made and never changed here, so a loop that
    resumes part-way must set `start_batch` back to 0 for the next epoch: `start()` sets both.
    `len()` is always that of a whole epoch.

    `weights` make the draw random with replacement, in proportion to them. With `mix_neighbours`,
    each slice of a global batch that has several gets one more key: the sample before its first,
    and for the first slice the last of all, so that neighbours can be mixed as in one undivided
    batch.

    With `costs`, a number for each sample, the samples of a global batch have similar ones: what
    POOL batches would hold is sorted by them and cut into batches again, which come in any order.
    Which samples an epoch leaves over is still by chance.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        weights: np.ndarray | None = None,
        mix_neighbours: bool = False,
        costs: np.ndarray | None = None,
    ):
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of the {world_size} ranks.")
        slices = world_size * accumulate
        if batch_size % slices:
            lower = max(batch_size // slices, 1) * slices
            raise ValueError(
                f"data.batch_size={batch_size} counts the images of one optimizer step over all "
                f"devices; it must divide by {world_size} devices × {accumulate} accumulated "
                f"batches. Nearest: data.batch_size={lower} or {lower + slices}."
            )
        if length < slices:
            raise ValueError(
                f"{length} training samples cannot be shared by {world_size} devices × "
                f"{accumulate} accumulated batches; use fewer devices or more samples."
            )
        self.length = length
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.accumulate = accumulate
        self.micro_batch_size = min(batch_size, length) // slices
        self.steps = max(length // batch_size, 1)
        self.mix_neighbours = mix_neighbours and slices > 1
        self.weights = None if weights is None else weights / weights.sum()
        self.costs = costs
        self.epoch = 0
        self.start_batch = 0

    def start(self, epoch: int, start_batch: int = 0) -> None:
        """Makes the next iterator begin at `start_batch` of `epoch`."""
        self.epoch = epoch
        self.start_batch = start_batch

    def order(self, epoch: int) -> np.ndarray:
        """The positions of all samples in the order of that epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        if self.weights is None:
            order = generator.permutation(self.length)
        else:
            order = generator.choice(self.length, size=self.length, p=self.weights)
        return order if self.costs is None else self._alike(order, self.costs, generator)

    def _alike(
        self, order: np.ndarray, costs: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        batch = self.micro_batch_size * self.world_size * self.accumulate
        used, rest = order[: self.steps * batch], order[self.steps * batch :]
        pools = np.split(used, range(POOL * batch, len(used), POOL * batch))
        ranked = [pool[np.argsort(costs[pool], kind="stable")] for pool in pools]
        batches = np.concatenate(ranked).reshape(self.steps, batch)
        return np.concatenate([batches[generator.permutation(self.steps)].ravel(), rest])

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        # Not itself a generator: that would read the two attributes only at the first batch.
        return self._batches(int(self.epoch), int(self.start_batch))

    def _batches(self, epoch: int, start_batch: int) -> Iterator[list[Key]]:
        order = self.order(epoch)
        for batch in range(start_batch, len(self)):
            first = (batch * self.world_size + self.rank) * self.micro_batch_size
            chosen = order[first : first + self.micro_batch_size].tolist()
            step = batch // self.accumulate
            keys = [Key(epoch, index, step=step) for index in chosen]
            if self.mix_neighbours:
                whole = self.micro_batch_size * self.world_size * self.accumulate
                before = step * whole + (first - 1) % whole
                keys.append(Key(epoch, int(order[before]), borrowed=True, step=step))
            yield keys


class EvaluationSampler(Sampler[list[Key]]):
    """Every sample exactly once over all ranks, in order, with nothing padded or repeated.

    The set is cut into world_size × len(self) runs whose lengths differ by one at most, dealt out
    in turn. So all ranks take equally many batches, which keeps collective calls in step; a rank
    may hold fewer images than another.
    """

    def __init__(self, length: int, batch_size: int, *, rank: int = 0, world_size: int = 1):
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of the {world_size} ranks.")
        if length < world_size:
            raise ValueError(
                f"{length} images cannot be shared by {world_size} devices; use fewer devices, "
                "or a larger data.val_fraction."
            )
        self.length = length
        self.rank = rank
        self.world_size = world_size
        # With batches of one, an uneven share would leave a rank without its last batch.
        largest = max(batch_size, 2) if length % world_size else batch_size
        self.batches = -(-length // (world_size * largest))

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Key]]:
        runs = self.world_size * self.batches
        for batch in range(self.batches):
            run = batch * self.world_size + self.rank
            first, last = self.length * run // runs, self.length * (run + 1) // runs
            yield [Key(0, index) for index in range(first, last)]
