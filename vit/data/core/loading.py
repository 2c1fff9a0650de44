"""Batches of images with their classes, and the processes that prepare batches of every kind."""

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
from torchvision.transforms import v2

from vit.data.augment import Augmentation
from vit.data.core.sampling import Key
from vit.data.core.sources import Source
from vit.data.core.split import Split
from vit.data.core.transforms import EvaluationTransform, normalised, pixels
from vit.runs import own_packages
from vit.runs.one_line import in_one_line
from vit.structures import Batch

ERASING = 1  # the purpose of a second seed per sample; see sample_seed


@dataclass(eq=False, kw_only=True)
class ClassificationSplit(Split[Image.Image, Image.Image, Batch]):
    """Images with their classes, for training (with `augment`) or for evaluation."""

    source: Source
    prepare: EvaluationTransform
    augment: Augmentation | None = None
    erasing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        augment = self.augment
        self._change = augment.change(self.prepare) if augment else self.prepare.fitted
        self._erase = v2.RandomErasing(self.erasing, value="random") if self.erasing else None

    def read(self, sample: int) -> Image.Image:
        return self.source.read(int(self.members[sample]), self.prepare.channels)

    def change(self, raw: Image.Image, key: Key, view: int) -> Image.Image:
        if self.augment:
            self.reseed(key, view)
        return self._change(raw)

    def collate(self, samples: list[Image.Image], keys: list[Key], view: int) -> Batch:
        images = normalised(pixels(samples), self.prepare.mean, self.prepare.std)
        if self._erase is not None:
            for row, key in enumerate(keys):
                self.reseed(key, view, ERASING)
                images[row] = self._erase(images[row])
        index = np.array([key.sample for key in keys])
        labels = self.source.labels[self.members[index]]
        num_borrowed = sum(key.borrowed for key in keys)
        return Batch(images, torch.from_numpy(labels), torch.from_numpy(index), num_borrowed)


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
    context.set_forkserver_preload(["vit.data.core.loading"])  # no effect once the server runs
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
