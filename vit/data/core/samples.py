"""The base of every kind of data: splits, and loaders whose order is a pure function.

No `from __future__ import annotations` here: signatures are the schema (see transforms.py).
"""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from vit.data.core.groups import far_shares
from vit.data.core.loading import start_worker, whole, worker_context
from vit.data.core.sampling import EpochSampler, EvaluationSampler
from vit.data.core.sources import Contents, Samples
from vit.data.core.split import Split
from vit.data.core.splits import split_members
from vit.data.core.unsound import faults_of, read_in_words, require_sound
from vit.data.core.way_out import of_another_kind, with_way_out
from vit.faults import Fault

T = TypeVar("T", bound=Samples)


@dataclass(kw_only=True, eq=False)
class SampleData(ABC, Generic[T]):
    """Samples of whatever kind, in splits named train, val and test.

    Making one reads nothing. The order of training samples and each augmentation are pure
    functions of (seed, epoch, sample): workers, ranks and batch size change neither.

    Args:
        seed: of order and augmentation; the run's own, given in code.
        batch_size: samples of one optimizer step, over all devices and accumulated batches.
        eval_batch_size: samples of one device at once in evaluation; None as many as in training.
        val_fraction: of every class in train, where the set has no val of its own.
        test_fraction: likewise for test; 0 leaves the set without one.
        split_seed: of these fractions; not the run's seed, so that runs are comparable.
        train_limit: train on this many samples only, drawn evenly from the classes.
        num_workers: processes that prepare batches; 0 does it in the training process.
    """

    unit: ClassVar[str] = "image"  # what a person calls a sample
    mixable: ClassVar[bool] = False  # mixup and cutmix go over the slices of a global batch

    seed: int = 0
    batch_size: int = 128
    eval_batch_size: int | None = None
    val_fraction: float = 0.1
    test_fraction: float = 0.0
    split_seed: int = 0
    train_limit: int | None = None
    num_workers: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0 or self.split_seed < 0:
            raise ValueError(
                f"seed={self.seed} and data.split_seed={self.split_seed} must be 0 or greater."
            )
        for key in ("batch_size", "eval_batch_size", "train_limit"):
            number = getattr(self, key)
            if number is not None and number < 1:
                raise ValueError(f"data.{key}={number}; wanted 1 or more.")
        if not 0 < self.val_fraction < 1:
            raise ValueError(
                f"data.val_fraction={self.val_fraction}; wanted a fraction between 0 and 1: the "
                "best checkpoint is chosen on val."
            )
        if not 0 <= self.test_fraction < 1:
            raise ValueError(f"data.test_fraction={self.test_fraction}; wanted 0 or a fraction.")
        if self.num_workers < 0:
            raise ValueError(f"data.num_workers={self.num_workers}; wanted 0 or more.")

    @abstractmethod
    def read(self) -> Contents[T]:
        """What there is, without decoding it; called once.

        Raises ValueError saying what is missing and how to get it.
        """

    @cached_property
    def contents(self) -> Contents[T]:
        try:
            return read_in_words(self.read)
        except ValueError as error:
            raise with_way_out(error, self) from error

    @cached_property
    def splits(self) -> dict[str, tuple[str, np.ndarray]]:
        """Split → the name of its source and the positions of its samples there."""
        contents = self.contents
        return split_members(
            contents.sources,
            self._fractions,
            self.split_seed,
            self.train_limit,
            contents.unused,
            contents.groups.get("train"),
        )

    @property
    def _fractions(self) -> dict[str, float]:
        """Of what is set aside, in this order."""
        return {"test": self.test_fraction, "val": self.val_fraction}

    @property
    def lengths(self) -> dict[str, int]:
        """Split → number of images."""
        return {name: len(members) for name, (_, members) in self.splits.items()}

    def loader(
        self,
        split: str,
        *,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
        mix_neighbours: bool = False,
        views: int = 1,
    ) -> DataLoader:
        """Batches of a split on one of `world_size` devices.

        "train" is shuffled and augmented; its `batch_sampler` is an EpochSampler, whose `start`
        the loop calls before every epoch; `mix_neighbours` is its own. `views` of each sample
        come as Views of batches where there are several. Other splits come in order, each sample
        once over all ranks. `len()` counts the batches of this rank in a whole epoch.
        """
        sampler = self._sampler(split, rank, world_size, accumulate, mix_neighbours)
        return self._loader(self.dataset(split, training=split == "train", views=views), sampler)

    def still_loader(self, split: str, *, rank: int = 0, world_size: int = 1) -> DataLoader:
        """Batches of a split as evaluation sees it, of train too: in order, each sample once over
        all ranks, nothing augmented."""
        self._require(split)
        size = self.eval_batch_size or max(self.batch_size // world_size, 1)
        sampler = EvaluationSampler(self.lengths[split], size, rank=rank, world_size=world_size)
        return self._loader(self.dataset(split, training=False), sampler)

    def _loader(
        self, dataset: Split[Any, Any, Any], sampler: EpochSampler | EvaluationSampler
    ) -> DataLoader:
        workers = self.num_workers
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=whole,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=worker_context() if workers else None,
            worker_init_fn=start_worker if workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else the loader would draw from the global one
        )

    def _sampler(
        self, split: str, rank: int, world_size: int, accumulate: int, mix_neighbours: bool
    ) -> EpochSampler | EvaluationSampler:
        self._require(split)
        if mix_neighbours and not self.mixable:
            raise ValueError(f"such {self.unit}s are not mixed over slices: mix_neighbours=False.")
        length = self.lengths[split]
        if split == "train":
            return EpochSampler(
                length,
                self.batch_size,
                self.seed,
                rank=rank,
                world_size=world_size,
                accumulate=accumulate,
                weights=self._draw_weights(),
                mix_neighbours=mix_neighbours,
                costs=self._costs(),
            )
        size = self.eval_batch_size or max(self.batch_size // (world_size * accumulate), 1)
        return EvaluationSampler(length, size, rank=rank, world_size=world_size)

    def dataset(self, split: str, *, training: bool, views: int = 1) -> Split[Any, Any, Any]:
        """The samples of a split, with or without augmentation; for `views` see Split.

        Raises ValueError where the listing has faults: nothing is trained on half of the data.
        """
        self._require(split)
        require_sound(self.contents.faults)
        made = self._split(split, training)
        return made if views == 1 else replace(made, views=views)

    @abstractmethod
    def _split(self, split: str, training: bool) -> Split[Any, Any, Any]:
        """The samples of a split that there is, of a sound listing."""

    def _source_of(self, split: str) -> tuple[T, np.ndarray]:
        """What a split's samples are read from, and their positions there."""
        self._require(split)
        name, members = self.splits[split]
        return self.contents.sources[name], members

    def _require(self, split: str) -> None:
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise ValueError(
                f"this data has no {split!r} split, only {known}. "
                f"data.{split}_fraction=0.1 would set a part of train aside."
            )

    def sample_name(self, split: str, index: int) -> str:
        """What a person would look for: the file of a sample, or its number in the set."""
        source, members = self._source_of(split)
        return source.name(int(members[index]))

    @property
    def task(self) -> str:
        """The shipped task for such data, for whoever has chosen another; "" if there is none."""
        return ""

    @property
    @abstractmethod
    def facts(self) -> Any:
        """What models and losses must agree with; see vit.facts."""

    @cached_property
    def eval_transform(self) -> Any:
        """From a sample as a person has it to what the model wants."""
        return self.transform_for(self.facts)

    @abstractmethod
    def transform_for(self, facts: Any) -> Any:
        """The same for facts that a checkpoint carries; reads no data."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The splits as plain values."""

    def use_checkpoint_facts(self, facts: Any, transform: Any) -> None:
        """Prepares samples as those that a model was trained on, of which this is known."""
        self.eval_transform = transform

    def fingerprint(self) -> str:
        """A number that changes with the samples, their labels or their splits; a second's work.

        A kind says in `_identity` and `_add_to` what counts; paths above the data and times do not.
        """
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps(self._identity()).encode())
        for split in sorted(self.splits):
            source, members = self._source_of(split)
            digest.update(f"\0{split}\0{len(members)}\0".encode())
            self._add_to(digest, source, members)
        return digest.hexdigest()

    def _identity(self) -> Any:
        """What the fingerprint counts of the set as a whole, as JSON can hold it."""
        return self.contents.class_names

    @abstractmethod
    def _add_to(self, digest: hashlib.blake2b, source: T, members: np.ndarray) -> None:
        """Adds what the fingerprint counts of some samples of a source."""

    def recall(self, described: object) -> None:
        """Takes what a run's stamp says of its data: `describe` and the fingerprint, if anything.

        A kind may spare itself by it what takes long to find.
        """
        return None

    def faults(self, full: bool = False) -> list[Fault]:
        """Everything wrong that can be found without training; `full` decodes every image.

        A kind adds to `_reading_faults` and to `_own_faults`.
        """
        try:
            _ = self.contents
        except (ValueError, OSError) as error:
            return faults_of(error)
        faults = self._reading_faults()
        try:
            self._require_facts()
        except (ValueError, OSError) as error:
            return [*faults, *self._without_facts(error), *of_another_kind(self)]
        found = [*faults, *self._own_faults(full)]
        return [*found, *of_another_kind(self)] if found else []

    def _reading_faults(self) -> list[Fault]:
        """What was wrong in reading, whether or not facts and splits can be had of it."""
        return list(self.contents.faults)

    def _require_facts(self) -> None:
        """Raises ValueError where what was read is too little for a model to be built."""
        _ = self.facts, self.splits

    def _without_facts(self, error: ValueError | OSError) -> list[Fault]:
        """What is wrong where `_require_facts` raised this."""
        return faults_of(error)

    @abstractmethod
    def _own_faults(self, full: bool) -> list[Fault]:
        """What is wrong with the samples, once facts and splits are known."""

    def warnings(self) -> list[str]:
        """What is odd and can be trained on all the same, a line each; says what became of it.

        A kind adds to `_own_warnings`.
        """
        try:
            contents = self.contents
        except (ValueError, OSError):
            return []  # a fault, reported as such
        try:
            own = far_shares(contents.groups, self.splits, self._fractions)
            own += self._own_warnings()
        except (ValueError, OSError):
            own = []  # likewise
        return [*contents.warnings, *own]

    def _own_warnings(self) -> list[str]:
        """What is odd in the samples, beside what was found in reading."""
        return []

    def _draw_weights(self) -> np.ndarray | None:
        """How often each training sample is drawn, or None where each comes once an epoch."""
        return None

    def _costs(self) -> np.ndarray | None:
        """What training samples of one batch should have alike, such as lengths; None: nothing."""
        return None
