"""The values that travel between rooms: plain dataclasses, one word per axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, NamedTuple, TypedDict, TypeVar, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

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
    Of a backbone whose last norm is for pooled vectors, `pooled_norm` is that norm, for whoever
    pools them; the tokens are not normalised then.
    """

    patches: Float[Tensor, "batch tokens dim"]
    grid: Grid
    prefix: Float[Tensor, "batch prefix dim"]
    blocks: tuple[Tensor, ...] = ()
    mask: Bool[Tensor, "batch tokens"] | None = None
    pooled_norm: nn.Module | None = None


M = TypeVar("M", bound="Moved")  # typing.Self, which beartype does not take in functions


class Moved:
    """What dataclasses of tensors share: they move as a whole, with all dataclasses in them."""

    def to(self: M, device: torch.device | str, non_blocking: bool = False) -> M:
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self: M) -> M:
        """Called by torch's DataLoader, which pins no dataclass by itself."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self: M, change: Callable[[Tensor], Tensor]) -> M:
        own = cast(Any, self)  # a dataclass
        values = {each.name: getattr(self, each.name) for each in fields(own)}
        return replace(own, **{name: _changed(value, change) for name, value in values.items()})


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Moved):
        return value._each(change)
    return tuple(_changed(each, change) for each in value) if type(value) is tuple else value


class Collated(Moved):
    """What the batches of every kind of data share; `index` is where each is in its data set."""

    index: Tensor
    left_out: tuple[str, ...] = ()  # of batches whose samples can all be read
    unkept: ClassVar[tuple[str, ...]] = ()  # fields that no file needs

    def __len__(self) -> int:
        return len(self.index)

    def without_borrowed(self: M) -> M:
        """The batch without what was lent to it; where nothing can be lent, all of it."""
        return self

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file."""
        plain: dict[str, Any] = {"index": self.index}
        for each in fields(cast(Any, self)):
            value = getattr(self, each.name)
            if each.name in self.unkept:
                continue
            if isinstance(value, Tensor):
                plain[each.name] = value
            elif isinstance(value, Objects):
                plain |= value.as_plain()
        return plain


@dataclass
class Batch(Collated):
    """Images with their targets, and the position of each in its data set.

    `targets` are class numbers, or a row of class weights per image where labels are mixed or
    there are several per image. The last `num_borrowed` images belong to another slice of the
    global batch and are here only to be mixed into the others; `len()` leaves them out. `left_out`
    says of each image that cannot be read, and was asked to be skipped, which it is and why.
    """

    images: Float[Tensor, "batch channels height width"]
    targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"]
    index: Int[Tensor, " batch"]
    num_borrowed: int = 0
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.index) - self.num_borrowed

    def without_borrowed(self) -> Batch:
        count = len(self)
        return Batch(self.images[:count], self.targets[:count], self.index[:count])


@dataclass
class Objects(Moved):
    """What there is to find in a batch of images, one image's objects after the other's.

    Boxes are centre and size as fractions of the image that the model sees, its padding included;
    `counts` says how many objects each image has, so that nobody need ask the device.
    """

    labels: Int[Tensor, " objects"]
    boxes_cxcywh: Float[Tensor, "objects 4"]
    counts: tuple[int, ...]
    masks: Bool[Tensor, "objects height width"] | None = None

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file; `counts` are the objects of each image."""
        plain = {"labels": self.labels, "boxes_cxcywh": self.boxes_cxcywh}
        masks = {} if self.masks is None else {"masks": self.masks}
        return {**plain, "counts": list(self.counts), **masks}


@dataclass
class DetectionBatch(Collated):
    """Images with what there is to find in them, and the position of each in its data set.

    `padding` is true where a smaller image was filled up; None where no image was. `left_out` is
    as in Batch.
    """

    images: Float[Tensor, "batch channels height width"]
    objects: Objects
    index: Int[Tensor, " batch"]
    padding: Bool[Tensor, "batch height width"] | None = None
    left_out: tuple[str, ...] = ()
    unkept: ClassVar[tuple[str, ...]] = ("padding",)


@dataclass
class TextBatch(Collated):
    """Texts as tokens, each with a class or with another text, and the position of each.

    Tokens end with END and are filled up with PAD. `targets` are class numbers, or the tokens of
    the other texts; `references`, in evaluation, those texts as they stand, neither cut nor
    spelt by a tokenizer.
    """

    tokens: Int[Tensor, "batch tokens"]
    targets: Int[Tensor, " batch"] | Int[Tensor, "batch target_tokens"]
    index: Int[Tensor, " batch"]
    references: tuple[str, ...] = ()

    def input_size(self) -> tuple[int, ...]:
        """Of each sample, filled up, as a model's `flops` wants it."""
        return (self.tokens.shape[1], *self.targets.shape[1:])


@dataclass
class CaptionBatch(Collated):
    """Images, each with a text as tokens like those of a TextBatch, and the position of each."""

    images: Float[Tensor, "batch channels height width"]
    targets: Int[Tensor, "batch target_tokens"]
    index: Int[Tensor, " batch"]
    left_out: tuple[str, ...] = ()
    references: ClassVar[tuple[str, ...]] = ()  # the targets tell captions whole

    @property
    def tokens(self) -> Tensor:
        """What a model reads to write the targets, under TextBatch's name for it."""
        return self.images

    def input_size(self) -> tuple[int, ...]:
        """Of each sample, as a model's `flops` wants it."""
        return (*self.images.shape[-2:], self.targets.shape[1])


IGNORED = 255  # the label of pixels that are neither trained on nor counted


@dataclass
class SegmentationBatch(Collated):
    """Images with the class of each pixel, and the position of each image in its data set.

    A label is a class number, or IGNORED: where nobody said, and where an image was filled up.
    `left_out` is as in Batch.
    """

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, "batch height width"]
    index: Int[Tensor, " batch"]
    left_out: tuple[str, ...] = ()


B = TypeVar("B", bound=Collated)


@dataclass
class Views(Moved, Generic[B]):
    """Several views of the same samples: a batch each, in which all samples stand alike."""

    views: tuple[B, ...]

    @property
    def index(self) -> Int[Tensor, " batch"]:
        return self.views[0].index

    @property
    def left_out(self) -> tuple[str, ...]:
        return self.views[0].left_out

    def __len__(self) -> int:
        return len(self.views[0])

    def as_plain(self) -> dict[str, Any]:
        """Its tensors by name, for a file: `images` of the first view, `images_1` of the next."""
        plain: dict[str, Any] = {}
        for at, view in enumerate(self.views):
            plain |= {f"{key}_{at}" if at else key: value for key, value in view.as_plain().items()}
        return plain

    def without_borrowed(self) -> Views[B]:
        """The views without what was lent to them."""
        return Views(tuple(view.without_borrowed() for view in self.views))


class RunLengths(TypedDict):
    """A mask as COCO packs it; `counts` are bytes in memory, text in a file."""

    size: list[int]  # height, width
    counts: str | bytes


@dataclass
class PanopticMap:
    """One image parted into segments, each of one class, no pixel in two of them.

    `segments` are 0 where there is none (void) and else a number from 1 on, the place of the
    segment in `labels`. A `crowd` is many things of one class that nobody marked one by one.
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
