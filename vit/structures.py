"""The values that travel between rooms: plain dataclasses, one word per axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# The first entries of every vocabulary: what fills up, begins and ends a text, what is unknown.
PAD, START, END, UNKNOWN = range(4)


class Grid(NamedTuple):
    """How many patches an image has, downwards and across."""

    rows: int
    cols: int


@dataclass
class Features:
    """What a backbone says about a batch of images.

    `patches` are the normalised patch tokens in row-major order over `grid`; `prefix` the class
    and register tokens (width 0 on the tokens axis where there are none); `blocks` the patch
    tokens after each block that was asked for, not normalised, in the order asked. Of texts the
    patches are the tokens, in one row, and `mask` is false where a shorter one was filled up.
    """

    patches: Float[Tensor, "batch tokens dim"]
    grid: Grid
    prefix: Float[Tensor, "batch prefix dim"]
    blocks: tuple[Tensor, ...] = ()
    mask: Bool[Tensor, "batch tokens"] | None = None


@dataclass
class Batch:
    """Images with their targets, and the position of each in its data set.

    `targets` are class numbers, or a row of class weights per image where labels are mixed or
    there are several per image. The last `lent` images belong to another slice of the global
    batch and are here only to be mixed into the others; `len()` leaves them out.
    """

    images: Float[Tensor, "batch channels height width"]
    targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"]
    index: Int[Tensor, " batch"]
    lent: int = 0

    def __len__(self) -> int:
        return len(self.images) - self.lent

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file."""
        return {"index": self.index, "images": self.images, "targets": self.targets}

    def own(self) -> Batch:
        """The batch without what was lent to it."""
        count = len(self)
        return Batch(self.images[:count], self.targets[:count], self.index[:count])

    def pin_memory(self) -> Batch:
        """Called by torch's DataLoader, which pins no dataclass by itself."""
        return Batch(
            self.images.pin_memory(), self.targets.pin_memory(), self.index.pin_memory(), self.lent
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        return Batch(
            self.images.to(device, non_blocking=non_blocking),
            self.targets.to(device, non_blocking=non_blocking),
            self.index.to(device, non_blocking=non_blocking),
            self.lent,
        )


@dataclass
class Objects:
    """What there is to find in a batch of images, one image's objects after the other's.

    Boxes are centre and size as fractions of the image that the model sees, its padding included;
    `counts` says how many objects each image has, so that nobody need ask the device.
    """

    labels: Int[Tensor, " objects"]
    boxes_cxcywh: Float[Tensor, "objects 4"]
    counts: tuple[int, ...]
    masks: Bool[Tensor, "objects height width"] | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Objects:
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Objects:
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Objects:
        masks = None if self.masks is None else change(self.masks)
        return Objects(change(self.labels), change(self.boxes_cxcywh), self.counts, masks)


@dataclass
class DetectionBatch:
    """Images with what there is to find in them, and the position of each in its data set.

    `padding` is true where a smaller image was filled up; None where no image was.
    """

    images: Float[Tensor, "batch channels height width"]
    objects: Objects
    index: Int[Tensor, " batch"]
    padding: Bool[Tensor, "batch height width"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file; `counts` are the objects of each image."""
        objects = self.objects
        told = {"labels": objects.labels, "boxes_cxcywh": objects.boxes_cxcywh}
        masks = {} if objects.masks is None else {"masks": objects.masks}
        counts = list(objects.counts)
        return {"index": self.index, "images": self.images, **told, "counts": counts, **masks}

    def own(self) -> DetectionBatch:
        """All of it: nothing is lent to such a batch."""
        return self

    def pin_memory(self) -> DetectionBatch:
        padding = None if self.padding is None else self.padding.pin_memory()
        return DetectionBatch(
            self.images.pin_memory(), self.objects.pin_memory(), self.index.pin_memory(), padding
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DetectionBatch:
        padding = self.padding
        return DetectionBatch(
            self.images.to(device, non_blocking=non_blocking),
            self.objects.to(device, non_blocking=non_blocking),
            self.index.to(device, non_blocking=non_blocking),
            None if padding is None else padding.to(device, non_blocking=non_blocking),
        )


@dataclass
class TextBatch:
    """Texts as tokens, each with a class or with another text, and the position of each.

    Tokens end with END and are filled up with PAD. `targets` are class numbers, or the tokens of
    the other texts; `references`, in evaluation, those texts as they stand, neither cut nor
    spelt by a tokenizer.
    """

    tokens: Int[Tensor, "batch tokens"]
    targets: Int[Tensor, " batch"] | Int[Tensor, "batch target_tokens"]
    index: Int[Tensor, " batch"]
    references: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file."""
        return {"index": self.index, "tokens": self.tokens, "targets": self.targets}

    def input_size(self) -> tuple[int, ...]:
        """Of each sample, filled up, as a model's `flops` wants it."""
        return (self.tokens.shape[1], *self.targets.shape[1:])

    def own(self) -> TextBatch:
        """All of it: nothing is lent to such a batch."""
        return self

    def pin_memory(self) -> TextBatch:
        return TextBatch(
            self.tokens.pin_memory(),
            self.targets.pin_memory(),
            self.index.pin_memory(),
            self.references,
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TextBatch:
        return TextBatch(
            self.tokens.to(device, non_blocking=non_blocking),
            self.targets.to(device, non_blocking=non_blocking),
            self.index.to(device, non_blocking=non_blocking),
            self.references,
        )


@dataclass
class CaptionBatch:
    """Images, each with a text as tokens like those of a TextBatch, and the position of each."""

    images: Float[Tensor, "batch channels height width"]
    targets: Int[Tensor, "batch target_tokens"]
    index: Int[Tensor, " batch"]
    references: ClassVar[tuple[str, ...]] = ()  # the targets tell captions whole

    @property
    def tokens(self) -> Tensor:
        """What a model reads to write the targets, under TextBatch's name for it."""
        return self.images

    def __len__(self) -> int:
        return len(self.images)

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file."""
        return {"index": self.index, "images": self.images, "targets": self.targets}

    def input_size(self) -> tuple[int, ...]:
        """Of each sample, as a model's `flops` wants it."""
        return (*self.images.shape[-2:], self.targets.shape[1])

    def own(self) -> CaptionBatch:
        """All of it: nothing is lent to such a batch."""
        return self

    def pin_memory(self) -> CaptionBatch:
        return CaptionBatch(
            self.images.pin_memory(), self.targets.pin_memory(), self.index.pin_memory()
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> CaptionBatch:
        return CaptionBatch(
            self.images.to(device, non_blocking=non_blocking),
            self.targets.to(device, non_blocking=non_blocking),
            self.index.to(device, non_blocking=non_blocking),
        )


IGNORED = 255  # the label of pixels that are neither trained on nor counted


@dataclass
class SegmentationBatch:
    """Images with the class of each pixel, and the position of each image in its data set.

    A label is a class number, or IGNORED: where nobody said, and where an image was filled up.
    """

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, "batch height width"]
    index: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.images)

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file."""
        return {"index": self.index, "images": self.images, "labels": self.labels}

    def own(self) -> SegmentationBatch:
        """All of it: nothing is lent to such a batch."""
        return self

    def pin_memory(self) -> SegmentationBatch:
        return SegmentationBatch(
            self.images.pin_memory(), self.labels.pin_memory(), self.index.pin_memory()
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SegmentationBatch:
        return SegmentationBatch(
            self.images.to(device, non_blocking=non_blocking),
            self.labels.to(device, non_blocking=non_blocking),
            self.index.to(device, non_blocking=non_blocking),
        )


B = TypeVar("B", bound=Any)


@dataclass
class Views(Generic[B]):
    """Several views of the same samples: a batch each, in which all samples stand alike."""

    views: tuple[B, ...]

    @property
    def index(self) -> Int[Tensor, " batch"]:
        return self.views[0].index

    def __len__(self) -> int:
        return len(self.views[0])

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file: `images` of the first view, `images_1` of the next."""
        plain: dict[str, Any] = {}
        for at, view in enumerate(self.views):
            plain |= {f"{key}_{at}" if at else key: value for key, value in view.as_plain().items()}
        return plain

    def own(self) -> Views[B]:
        """The views without what was lent to them."""
        return Views(tuple(view.own() for view in self.views))

    def pin_memory(self) -> Views[B]:
        return Views(tuple(view.pin_memory() for view in self.views))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Views[B]:
        return Views(tuple(view.to(device, non_blocking) for view in self.views))


@dataclass
class PanopticMap:
    """One image parted into segments, each of one class, no pixel in two of them.

    `segments` are 0 where there is none (void) and else a number from 1 on, the place of the
    segment in `labels`. A `crowd` is many things of one class that nobody told apart.
    """

    segments: Int[Tensor, "height width"]
    labels: Int[Tensor, " segments"]
    crowd: Bool[Tensor, " segments"] | None = None


@dataclass
class Stage:
    """What the queries of a detection head say at one depth.

    `logits` have one column a class, and one more, the last, for "no object" where the head says
    so; boxes are as in `Objects`; `masks` are logits on a grid of the head's choice.
    """

    logits: Float[Tensor, "batch queries classes"]
    boxes_cxcywh: Float[Tensor, "batch queries 4"] | None = None
    masks: Float[Tensor, "batch queries rows cols"] | None = None


@dataclass
class Denoised:
    """What a detection head makes of noised copies of the objects, in training alone.

    `objects` says which object of the batch each query is a copy of, and is -1 for those that
    only fill up. A `positive` copy is to be led back to its object; of the others the head is to
    say that nothing is there. Both live on the host.
    """

    stages: list[Stage]
    objects: Int[Tensor, "batch queries"]
    positive: Bool[Tensor, " queries"]


@dataclass
class Detections:
    """What a detection head returns: its stages, the answer last; all are trained alike.

    In training the queries may come in `groups` of equal size, each of which is matched by itself;
    in evaluation there is one, and nothing is `denoised`.
    """

    stages: list[Stage]
    groups: int = 1
    denoised: Denoised | None = None

    @property
    def answer(self) -> Stage:
        return self.stages[-1]


@dataclass
class ClassMaps:
    """What a semantic head says: a logit for each class in each cell of a grid over the image."""

    logits: Float[Tensor, "batch classes rows cols"]
