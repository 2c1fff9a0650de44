"""From keys to batches of pictures with objects: what the loader's workers do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torchvision import tv_tensors

from vit.data.annotations.packed import AnnotatedSource
from vit.data.augment_boxes import BoxAugmentation, Change
from vit.data.core.randomness import sample_seed
from vit.data.core.sampling import Key
from vit.data.core.split import Split
from vit.data.core.transforms import normalised, pixels
from vit.data.kinds.detection_transforms import (
    DetectionTransform,
    Letterbox,
    Sample,
    fractions,
    sample_of,
    sanitize,
)
from vit.data.kinds.mosaic import mosaic
from vit.structures import DetectionBatch, Objects

SIZE, MOSAIC = 2, 3  # purposes of further seeds per sample or step; see sample_seed


@dataclass
class FramedBatch(DetectionBatch):
    """A batch that knows where its pictures lie: `frames[i].to_original(boxes_cxcywh)`.

    In training there are no frames: augmented pictures have no way back.
    """

    frames: tuple[Letterbox, ...] = field(default=(), kw_only=True)


@dataclass(eq=False, kw_only=True)
class DetectionSplit(Split[Sample, tuple[Sample, Letterbox], FramedBatch]):
    """Pictures with the objects in them, for training (with `augment`) or for evaluation.

    With `train_sizes`, the images of a step all have one of these sides, in each view its own.
    """

    source: AnnotatedSource
    prepare: DetectionTransform
    augment: BoxAugmentation | None = None
    mosaic: float = 0.0  # probability of three more pictures beside this one
    mosaic_epochs: int | None = None  # the first so many; None is all
    train_sizes: tuple[int, ...] = ()
    masks: bool = False
    padding: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._changes: dict[tuple[int, int], Change] = {}

    def read(self, sample: int) -> Sample:
        """One sample as it lies in the source, without the crowds."""
        position = int(self.members[sample])
        image, marked = self.source.marked(position, self.prepare.channels, self.masks)
        found = sample_of(image, marked.apart())
        if self.padding:
            seen = torch.ones(1, image.height, image.width, dtype=torch.bool)
            found["seen"] = tv_tensors.Mask(seen)
        return found

    def change(self, raw: Sample, key: Key, view: int) -> tuple[Sample, Letterbox]:
        prepare = self._prepare(key, view)
        frame = prepare.frame(raw["image"].height, raw["image"].width)
        if self.augment is None:
            return sanitize(prepare.letterbox(raw)), frame
        if self.mosaic and (self.mosaic_epochs is None or key.epoch < self.mosaic_epochs):
            self.reseed(key, view, MOSAIC)
            if float(torch.rand(())) < self.mosaic:
                others = torch.randint(len(self), (3,)).tolist()
                raw = mosaic([raw, *map(self.read, others)], prepare)
        change = self._changes.get(prepare.image_size)
        if change is None:
            change = self._changes[prepare.image_size] = self.augment.change(prepare)
        self.reseed(key, view)
        return sanitize(change(raw)), frame

    def collate(
        self, samples: list[tuple[Sample, Letterbox]], keys: list[Key], view: int
    ) -> FramedBatch:
        prepare = self._prepare(keys[0], view)
        changed = [sample for sample, _ in samples]
        images = pixels([sample["image"] for sample in changed])
        return FramedBatch(
            images=normalised(images, prepare.mean, prepare.std),
            objects=_packed(changed, prepare.image_size),
            index=torch.tensor([key.sample for key in keys]),
            padding=_padding(changed) if self.padding else None,
            frames=() if self.augment else tuple(frame for _, frame in samples),
        )

    def _prepare(self, key: Key, view: int) -> DetectionTransform:
        if not (self.augment and self.train_sizes):
            return self.prepare
        draw = sample_seed(self.seed, key.epoch, key.step, SIZE, view)
        side = self.train_sizes[draw % len(self.train_sizes)]
        return replace(self.prepare, image_size=(side, side))


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
