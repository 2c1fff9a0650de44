"""From keys to batches of pictures with class maps: what the loader's workers do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vit.data.augment_boxes import BoxAugmentation
from vit.data.class_maps import MappedSource
from vit.data.detection_transforms import Frame, Sample
from vit.data.images import BadImage, none_left
from vit.data.randomness import borrowed_generators, sample_seed, seed_everything_used
from vit.data.sampling import Key
from vit.data.segmentation_transforms import SegmentationTransform, map_sample
from vit.data.transforms import normalised, pixels
from vit.structures import SegmentationBatch


@dataclass
class FramedMaps(SegmentationBatch):
    """A batch that also has the labels as they were published, at the sizes of the pictures.

    `frames[i].rows_to_original(maps, …)` brings back what a model says of the batch's image i.
    `published` are the pixels of all pictures, uint8, one picture's rows after the other's: one
    tensor, since each one that a worker sends takes an open file. In training there are neither:
    augmented pictures have no way back.
    """

    frames: tuple[Frame, ...] = field(default=(), kw_only=True)
    published: UInt8[Tensor, " pixels"] = field(
        default_factory=lambda: torch.zeros(0, dtype=torch.uint8), kw_only=True
    )

    def published_maps(self) -> list[UInt8[Tensor, "height width"]]:
        """The labels of each picture, no copies."""
        sizes = [frame.original for frame in self.frames]
        parts = self.published.split([height * width for height, width in sizes])
        return [part.view(size) for part, size in zip(parts, sizes, strict=True)]

    def pin_memory(self) -> FramedMaps:
        return self._framed(super().pin_memory(), self.published.pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> FramedMaps:
        moved = self.published.to(device, non_blocking=non_blocking)
        return self._framed(super().to(device, non_blocking), moved)

    def _framed(self, batch: SegmentationBatch, published: Tensor) -> FramedMaps:
        return FramedMaps(
            batch.images,
            batch.labels,
            batch.index,
            batch.left_out,
            frames=self.frames,
            published=published,
        )


@dataclass(eq=False)
class SegmentationSplit(Dataset[FramedMaps]):
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

    def __getitems__(self, keys: list[Key]) -> FramedMaps:
        """The batch of these keys; pixels depend on (seed, epoch, index) and on nothing else.

        Raises BadImage, unless `skip_bad`: then the batch lacks the image and tells it.
        """
        samples, frames, published, kept, left_out = [], [], [], [], []
        with borrowed_generators():
            for key in keys:
                try:
                    sample, whole = self._sample(key)
                except BadImage as fault:
                    if not self.skip_bad:
                        raise
                    left_out.append(str(fault))
                else:
                    samples.append(sample)
                    kept.append(key.sample)
                    frames.append(self.prepare.frame(*whole.shape))
                    published.append(whole.flatten())
        if not kept:
            raise BadImage(none_left(left_out))
        images = pixels([sample["image"] for sample in samples])
        maps = torch.cat([sample["map"].as_subclass(Tensor) for sample in samples])
        batch = FramedMaps(
            images=normalised(images, self.prepare.mean, self.prepare.std),
            labels=maps.long(),  # torch's cross-entropy takes no other kind
            index=torch.tensor(kept),
            left_out=tuple(left_out),
        )
        if self.augment is None:
            batch.frames, batch.published = tuple(frames), torch.cat(published)
        return batch

    def _sample(self, key: Key) -> tuple[Sample, Tensor]:
        """What the model is to see, and the labels of the whole picture."""
        image, class_map = self.source.mapped(int(self.members[key.sample]), self.prepare.channels)
        if self.augment:
            seed_everything_used(sample_seed(self.seed, key.epoch, key.sample))
        return self._change(map_sample(image, class_map)), torch.from_numpy(class_map)
