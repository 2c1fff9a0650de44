"""From keys to batches, the same way for every kind of data: what the loader's workers do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np
from torch.utils.data import Dataset

from vit.data.core.images import BadImage, none_left
from vit.data.core.randomness import borrowed_generators, sample_seed, seed_everything_used
from vit.data.core.sampling import Key
from vit.structures import Collated, Views

Raw = TypeVar("Raw")  # a sample as its source has it
Changed = TypeVar("Changed")  # as the model is to see it, but for what is done to a whole batch
B = TypeVar("B", bound=Collated)


@dataclass(eq=False, kw_only=True)
class Split(Dataset[Any], ABC, Generic[Raw, Changed, B]):
    """The samples of one split, for training or for evaluation.

    A kind says how one is read, how it is changed, and how a batch is made of several. `members`
    are the positions of the split's samples in their source; keys and `index` count within the
    split. With `skip_bad` a batch lacks the images that cannot be read, and says so in
    `left_out`.

    With several `views` each sample is read once and changed so many times, with randomness of its
    own each time, and what comes is Views of batches. The first view is what comes without others.
    """

    members: np.ndarray
    seed: int
    skip_bad: bool = False
    views: int = 1

    def __post_init__(self) -> None:
        """Makes whatever is not a field, in a worker too."""
        if self.views < 1:
            raise ValueError(f"views={self.views}; wanted 1 or more.")

    def __getstate__(self) -> dict[str, Any]:
        # Only the fields: closures, as augmentations are, cannot be sent to a worker.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, keys: list[Key]) -> B | Views[B]:
        """The batch of these keys; it depends on them, the seed and the view, and on nothing else.

        Raises BadImage where an image cannot be read, or with `skip_bad` where none can.
        """
        kept: list[Key] = []
        changed: list[list[Changed]] = []  # by sample, then by view
        left_out: list[str] = []
        with borrowed_generators():
            for key in keys:
                try:
                    raw = self.read(key.sample)
                    each = [self.change(raw, key, view) for view in range(self.views)]
                except BadImage as fault:
                    if not self.skip_bad:
                        raise
                    left_out.append(str(fault))
                else:
                    kept.append(key)
                    changed.append(each)
            if all(key.borrowed for key in kept):
                raise BadImage(none_left(left_out))
            batches = [
                self.collate([each[view] for each in changed], kept, view)
                for view in range(self.views)
            ]
        for batch in batches if left_out else []:
            batch.left_out = tuple(left_out)
        return batches[0] if self.views == 1 else Views(tuple(batches))

    @abstractmethod
    def read(self, sample: int) -> Raw:
        """One sample as its source has it; raises BadImage where it cannot be read."""

    @abstractmethod
    def change(self, raw: Raw, key: Key, view: int) -> Changed:
        """What the model is to see of it in that view; `raw` stays as it is, for other views.

        Whatever is drawn is drawn after `reseed`.
        """

    @abstractmethod
    def collate(self, samples: list[Changed], keys: list[Key], view: int) -> B:
        """The batch of one view."""

    def reseed(self, key: Key, view: int, purpose: int = 0) -> None:
        """Makes the global generators those of (seed, epoch, sample, view) for one purpose."""
        seed_everything_used(sample_seed(self.seed, key.epoch, key.sample, purpose, view))
