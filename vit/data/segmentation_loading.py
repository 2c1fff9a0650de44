"""From keys to batches of pictures with class maps: what the loader's workers do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vit.data.augment_boxes import BoxAugmentation
from vit.data.class_maps import MappedSource
from vit.data.detection_transforms import Sample
from vit.data.images import BadImage
from vit.data.randomness import borrowed_generators, sample_seed, seed_everything_used
from vit.data.sampling import Key
from vit.data.segmentation_transforms import SegmentationTransform, map_sample
from vit.data.transforms import normalised, pixels
from vit.structures import SegmentationBatch


@dataclass(eq=False)
class SegmentationSplit(Dataset[SegmentationBatch]):
    """One split of a source, prepared for training (with `augment`) or for evaluation.

    `members` are the positions of the split's samples in `source`; `index` and the keys count
    within the split.
    """

    source: MappedSource
    members: np.ndarray
    prepare: SegmentationTransform
    seed: int
    augment: BoxAugmentation | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        self._build()

    def _build(self) -> None:
        self._change = self.augment.change(self.prepare) if self.augment else self.prepare.placed

    def __getstate__(self) -> dict:
        # The function is made anew on the other side: closures cannot be sent to a worker.
        return {name: value for name, value in vars(self).items() if name != "_change"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._build()

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, keys: list[Key]) -> SegmentationBatch:
        """The batch of these keys; pixels depend on (seed, epoch, index) and on nothing else.

        Raises BadImage, unless `skip_bad`: then the batch lacks the image and a warning names it.
        """
        samples, kept = [], []
        with borrowed_generators():
            for key in keys:
                try:
                    samples.append(self._sample(key))
                except BadImage as fault:
                    if not self.skip_bad:
                        raise
                    warnings.warn(f"left out: {fault}", stacklevel=2)
                else:
                    kept.append(key.sample)
        if not kept:
            raise BadImage("no image of this batch can be read; see the warnings above.")
        images = pixels([sample["image"] for sample in samples])
        maps = torch.cat([sample["map"].as_subclass(Tensor) for sample in samples])
        return SegmentationBatch(
            images=normalised(images, self.prepare.mean, self.prepare.std),
            labels=maps.long(),  # torch's cross-entropy takes no other kind
            index=torch.tensor(kept),
        )

    def _sample(self, key: Key) -> Sample:
        image, class_map = self.source.mapped(int(self.members[key.sample]), self.prepare.channels)
        if self.augment:
            seed_everything_used(sample_seed(self.seed, key.epoch, key.sample))
        return self._change(map_sample(image, class_map))
