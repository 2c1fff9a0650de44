"""From keys to batches of pictures with objects: what the loader's workers do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from vit.data.annotations import MarkedSource
from vit.data.augment_boxes import BoxAugmentation, Change
from vit.data.detection_transforms import (
    DetectionTransform,
    Frame,
    Sample,
    fractions,
    sample_of,
    settled,
)
from vit.data.images import BadImage, none_left
from vit.data.mosaic import laid
from vit.data.randomness import borrowed_generators, sample_seed, seed_everything_used
from vit.data.sampling import Key
from vit.data.transforms import normalised, pixels
from vit.structures import DetectionBatch, Objects

SIZE, MOSAIC = 2, 3  # purposes of further seeds per sample or step; see sample_seed


@dataclass
class FramedBatch(DetectionBatch):
    """A batch that knows where its pictures lie: `frames[i].to_original(boxes_cxcywh)`.

    In training there are no frames: augmented pictures have no way back.
    """

    frames: tuple[Frame, ...] = field(default=(), kw_only=True)

    def pin_memory(self) -> FramedBatch:
        return self._framed(super().pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> FramedBatch:
        return self._framed(super().to(device, non_blocking))

    def _framed(self, batch: DetectionBatch) -> FramedBatch:
        return FramedBatch(
            batch.images,
            batch.objects,
            batch.index,
            batch.padding,
            batch.left_out,
            frames=self.frames,
        )


@dataclass(eq=False)
class DetectionSplit(Dataset[FramedBatch]):
    """One split of a source, prepared for training (with `augment`) or for evaluation.

    `members` are the positions of the split's samples in `source`; `index` and the keys count
    within the split. With `train_sizes`, the images of a step all have one of these sides.
    """

    source: MarkedSource
    members: np.ndarray
    prepare: DetectionTransform
    seed: int
    augment: BoxAugmentation | None = None
    mosaic: float = 0.0  # probability of three more pictures beside this one
    mosaic_epochs: int | None = None  # the first so many; None is all
    train_sizes: tuple[int, ...] = ()
    masks: bool = False
    padding: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        self._changes: dict[tuple[int, int], Change] = {}

    def __getstate__(self) -> dict:
        # The functions are made anew on the other side: closures cannot be sent to a worker.
        return {**vars(self), "_changes": {}}

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, keys: list[Key]) -> FramedBatch:
        """The batch of these keys; it depends on (seed, epoch, step, index) and on nothing else.

        Raises BadImage, unless `skip_bad`: then the batch lacks the image and tells it.
        """
        prepare = self._prepare(keys[0])
        samples, frames, kept, left_out = [], [], [], []
        with borrowed_generators():
            for key in keys:
                try:
                    sample, frame = self._sample(key, prepare)
                except BadImage as fault:
                    if not self.skip_bad:
                        raise
                    left_out.append(str(fault))
                else:
                    samples.append(sample)
                    frames.append(frame)
                    kept.append(key)
        if not kept:
            raise BadImage(none_left(left_out))
        images = pixels([sample["image"] for sample in samples])
        return FramedBatch(
            images=normalised(images, prepare.mean, prepare.std),
            objects=_packed(samples, prepare.image_size),
            index=torch.tensor([key.sample for key in kept]),
            padding=_padding(samples) if self.padding else None,
            left_out=tuple(left_out),
            frames=() if self.augment else tuple(frames),
        )

    def _prepare(self, key: Key) -> DetectionTransform:
        if not (self.augment and self.train_sizes):
            return self.prepare
        draw = sample_seed(self.seed, key.epoch, key.step, SIZE)
        side = self.train_sizes[draw % len(self.train_sizes)]
        return replace(self.prepare, image_size=(side, side))

    def _sample(self, key: Key, prepare: DetectionTransform) -> tuple[Sample, Frame]:
        sample = self._read(key.sample)
        frame = prepare.frame(sample["image"].height, sample["image"].width)
        if self.augment is None:
            return settled(prepare.placed(sample)), frame
        if self.mosaic and (self.mosaic_epochs is None or key.epoch < self.mosaic_epochs):
            seed_everything_used(sample_seed(self.seed, key.epoch, key.sample, MOSAIC))
            if float(torch.rand(())) < self.mosaic:
                others = torch.randint(len(self), (3,)).tolist()
                sample = laid([sample, *map(self._read, others)], prepare)
        change = self._changes.get(prepare.image_size)
        if change is None:
            change = self._changes[prepare.image_size] = self.augment.change(prepare)
        seed_everything_used(sample_seed(self.seed, key.epoch, key.sample))
        return settled(change(sample)), frame

    def _read(self, index: int) -> Sample:
        """One sample as it lies in the source, without the crowds."""
        position = int(self.members[index])
        image, marked = self.source.marked(position, self.prepare.channels, self.masks)
        sample = sample_of(image, marked.apart())
        if self.padding:
            seen = torch.ones(1, image.height, image.width, dtype=torch.bool)
            sample["seen"] = tv_tensors.Mask(seen)
        return sample


def _packed(samples: list[Sample], image_size: tuple[int, int]) -> Objects:
    def joined(name: str) -> Tensor:
        return torch.cat([sample[name].as_subclass(Tensor) for sample in samples])

    return Objects(
        labels=joined("labels"),
        boxes_cxcywh=fractions(joined("boxes"), image_size),
        counts=tuple(len(sample["labels"]) for sample in samples),
        masks=joined("masks") if "masks" in samples[0] else None,
    )


def _padding(samples: list[Sample]) -> Tensor:
    return ~torch.cat([sample["seen"].as_subclass(Tensor) for sample in samples])
