"""From keys to batches of pictures with class maps: what the loader's workers do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vit.data.annotations.class_maps import MappedSource
from vit.data.augment_boxes import BoxAugmentation
from vit.data.core.sampling import Key
from vit.data.core.split import Split
from vit.data.core.transforms import normalised, pixels
from vit.data.kinds.detection_transforms import Letterbox, Sample
from vit.data.kinds.segmentation_transforms import SegmentationTransform, map_sample
from vit.structures import SegmentationBatch

Mapped = tuple[Image.Image, np.ndarray]  # a picture and its map, of one size


@dataclass
class FramedMaps(SegmentationBatch):
    """A batch that also has the labels as they were published, at the sizes of the pictures.

    `frames[i].rows_to_original(maps, …)` brings back what a model says of the batch's image i.
    `published` are the pixels of all pictures, uint8, one picture's rows after the other's: one
    tensor, since each one that a worker sends takes an open file. In training there are neither:
    augmented pictures have no way back.
    """

    unkept: ClassVar[tuple[str, ...]] = ("published",)

    frames: tuple[Letterbox, ...] = field(default=(), kw_only=True)
    published: UInt8[Tensor, " pixels"] = field(
        default_factory=lambda: torch.zeros(0, dtype=torch.uint8), kw_only=True
    )

    def published_maps(self) -> list[UInt8[Tensor, "height width"]]:
        """The labels of each picture, no copies."""
        sizes = [frame.original for frame in self.frames]
        parts = self.published.split([height * width for height, width in sizes])
        return [part.view(size) for part, size in zip(parts, sizes, strict=True)]


@dataclass(eq=False, kw_only=True)
class SegmentationSplit(Split[Mapped, tuple[Sample, np.ndarray], FramedMaps]):
    """Pictures with their class maps, for training (with `augment`) or for evaluation."""

    source: MappedSource
    prepare: SegmentationTransform
    augment: BoxAugmentation | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._change = self.augment.change(self.prepare) if self.augment else self.prepare.letterbox

    def read(self, sample: int) -> Mapped:
        return self.source.mapped(int(self.members[sample]), self.prepare.channels)

    def change(self, raw: Mapped, key: Key, view: int) -> tuple[Sample, np.ndarray]:
        """What the model is to see, and the labels of the whole picture."""
        image, class_map = raw
        if self.augment:
            self.reseed(key, view)
        return self._change(map_sample(image, class_map)), class_map

    def collate(
        self, samples: list[tuple[Sample, np.ndarray]], keys: list[Key], view: int
    ) -> FramedMaps:
        images = pixels([sample["image"] for sample, _ in samples])
        maps = torch.cat([sample["map"].as_subclass(Tensor) for sample, _ in samples])
        batch = FramedMaps(
            images=normalised(images, self.prepare.mean, self.prepare.std),
            labels=maps.long(),  # torch's cross-entropy takes no other kind
            index=torch.tensor([key.sample for key in keys]),
        )
        if self.augment is None:
            wholes = [whole for _, whole in samples]
            batch.frames = tuple(self.prepare.frame(*whole.shape) for whole in wholes)
            batch.published = torch.cat([torch.from_numpy(whole).flatten() for whole in wholes])
        return batch
