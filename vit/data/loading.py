"""From keys to batches: what the loader's workers do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.context import (
    BaseContext,
    ForkServerContext,
    ForkServerProcess,
    SpawnContext,
    SpawnProcess,
)
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import v2

from vit.data.augment import Augmentation
from vit.data.images import BadImage, none_left
from vit.data.randomness import borrowed_generators, sample_seed, seed_everything_used
from vit.data.sampling import Key
from vit.data.sources import Source
from vit.data.transforms import EvaluationTransform, normalised, pixels
from vit.runs import own_packages
from vit.runs.one_line import in_one_line
from vit.structures import Batch

ERASING = 1  # the purpose of a second seed per sample; see sample_seed


@dataclass(eq=False)
class Split(Dataset[Batch]):
    """One split of a source, prepared for training (with `augment`) or for evaluation.

    `members` are the positions of the split's samples in `source`; `Batch.index` and the keys
    count within the split.
    """

    source: Source
    members: np.ndarray
    prepare: EvaluationTransform
    seed: int
    augment: Augmentation | None = None
    erasing: float = 0.0
    skip_bad: bool = False

    def __post_init__(self) -> None:
        self._build()

    def _build(self) -> None:
        augment = self.augment
        self._change = augment.change(self.prepare) if augment else self.prepare.fitted
        self._erase = v2.RandomErasing(self.erasing, value="random") if self.erasing else None

    def __getstate__(self) -> dict:
        # The functions are made anew on the other side: closures cannot be sent to a worker.
        unsent = ("_change", "_erase")
        return {name: value for name, value in vars(self).items() if name not in unsent}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._build()

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The batch of these keys; pixels depend on (seed, epoch, index) and on nothing else.

        Raises BadImage, unless `skip_bad`: then the batch lacks the image and tells it.
        """
        with borrowed_generators():
            images, kept, left_out = [], [], []
            for key in keys:
                try:
                    images.append(self._image(key))
                except BadImage as fault:
                    if not self.skip_bad:
                        raise
                    left_out.append(str(fault))
                else:
                    kept.append(key)
            if all(key.lent for key in kept):
                raise BadImage(none_left(left_out))
            batch = normalised(pixels(images), self.prepare.mean, self.prepare.std)
            if self._erase is not None:
                for row, key in enumerate(kept):
                    seed_everything_used(sample_seed(self.seed, key.epoch, key.sample, ERASING))
                    batch[row] = self._erase(batch[row])
        index = np.array([key.sample for key in kept])
        labels = self.source.labels[self.members[index]]
        lent = sum(key.lent for key in kept)
        return Batch(
            batch, torch.from_numpy(labels), torch.from_numpy(index), lent, tuple(left_out)
        )

    def _image(self, key: Key) -> Image.Image:
        image = self.source.read(int(self.members[key.sample]), self.prepare.channels)
        if self.augment:
            seed_everything_used(sample_seed(self.seed, key.epoch, key.sample))
        return self._change(image)


def whole(batch: Any) -> Any:
    """What torch's loader calls to join samples; ours come joined."""
    return batch


def worker_context() -> BaseContext:
    """How worker processes are started.

    Not by fork, torch's default on Linux before Python 3.14: a training process has threads, and
    a lock that one of them holds at the fork stays locked in the worker for ever.
    """
    if sys.platform != "linux":
        return _Spawned()
    context = _Forked()
    context.set_forkserver_preload(["vit.data.loading"])  # no effect once the server runs
    return context


class _Finding:
    """A process that finds what this one does, before it is sent a sample of the user's kind."""

    def __init__(self, *arguments: Any, **named: Any):
        self.finds = _Found()  # first, since a process is sent in this order
        super().__init__(*arguments, **named)


class _Found:
    """What is found here beside what is installed; see vit/runs/own_packages.py."""

    def __reduce__(self) -> tuple[Any, ...]:
        return own_packages.install, (own_packages.installed(),)


class _Spawned(SpawnContext):
    class Process(_Finding, SpawnProcess):
        pass


class _Forked(ForkServerContext):
    class Process(_Finding, ForkServerProcess):
        pass


def start_worker(worker_id: int) -> None:
    """Ends this worker when the training process is gone, however it went.

    torch's own watch looks at the parent process, which under a forkserver is the server, and
    that lives as long as any worker: after a SIGKILL of the trainer all of them stayed for ever
    (torch 2.14.1, Python 3.11, November 2026).
    """
    in_one_line()
    # A terminal sends Ctrl-C to the workers too; the trainer still needs them to end its step.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        threading.Thread(target=_end_with, args=(trainer,), daemon=True).start()


def _end_with(trainer) -> None:  # a process handle of multiprocessing's private type
    trainer.join()
    os._exit(1)
