"""The values that travel between rooms: plain dataclasses, one word per axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Grid(NamedTuple):
    """How many patches an image has, downwards and across."""

    rows: int
    cols: int


@dataclass
class Features:
    """What a backbone says about a batch of images.

    `patches` are the normalised patch tokens in row-major order over `grid`; `prefix` the class
    and register tokens (width 0 on the tokens axis where there are none); `blocks` the patch
    tokens after each block that was asked for, not normalised, in the order asked.
    """

    patches: Float[Tensor, "batch tokens dim"]
    grid: Grid
    prefix: Float[Tensor, "batch prefix dim"]
    blocks: tuple[Tensor, ...] = ()


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


@dataclass(frozen=True)
class Facts:
    """What a data set knows of itself and everything built on it must agree with."""

    num_classes: int
    class_names: tuple[str, ...]
    image_size: tuple[int, int]  # height, width in pixels
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    multi_label: bool = False
