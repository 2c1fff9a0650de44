"""Mixup and CutMix of a batch, as a pure function of seed, epoch and optimizer step."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Beta

from vit.data.core.randomness import sample_seed
from vit.structures import Batch

MIXING = 2  # the purpose of these draws; augmentation and erasing have 0 and 1


class Box(NamedTuple):
    """A rectangle of pixels: rows from `top` to before `bottom`, columns likewise."""

    top: int
    bottom: int
    left: int
    right: int


class Mixing:
    """Mixes each image with its neighbour in the global batch, and their targets in like shares.

    The global batch of an optimizer step is mixed with `probability`, by mixup or by cutmix with
    equal chances where both have an alpha above 0; one share and one rectangle serve all of it.
    They are drawn on the CPU, so no device is waited for, and depend on (seed, epoch, step) alone;
    the global generator is left as it was.

    The neighbour is the image before, and before the first comes the last. Where the global batch
    is cut into slices, the one before a slice's first lies in another: the loader adds it
    (`Batch.partners`). So any number of devices and accumulated batches sees the same mixtures.

    Source: Zhang et al. 2018, arXiv:1710.09412, section 2; Yun et al. 2019, arXiv:1905.04899,
    equations 1 and 2.
    """

    def __init__(
        self, num_classes: int, *, mixup: float, cutmix: float, probability: float, seed: int
    ):
        self.num_classes = num_classes
        self.alphas = {
            name: alpha for name, alpha in (("mixup", mixup), ("cutmix", cutmix)) if alpha
        }
        self.probability = probability
        self.seed = seed

    def __call__(
        self, batch: Batch, epoch: int, step: int
    ) -> tuple[
        Float[Tensor, "batch channels height width"],
        Int[Tensor, " batch"] | Float[Tensor, "batch classes"],
    ]:
        """Images and targets, mixed or as they were; `step` counts optimizer steps of the epoch."""
        drawn = self._draw(epoch, step, *batch.images.shape[-2:])
        if drawn is None:
            own = batch.without_borrowed()
            return own.images, own.targets
        share, box = drawn
        count = len(batch)
        targets = batch.targets
        if targets.ndim == 1:
            targets = nn.functional.one_hot(targets, self.num_classes).float()
        mixed_targets = targets[:count] * share + targets.roll(1, 0)[:count] * (1 - share)
        images = batch.images[:count]
        partners = batch.images.roll(1, 0)[:count]
        if box is None:
            return images * share + partners * (1 - share), mixed_targets
        mixed = images.clone()
        mixed[..., box.top : box.bottom, box.left : box.right] = partners[
            ..., box.top : box.bottom, box.left : box.right
        ]
        return mixed, mixed_targets

    def _draw(
        self, epoch: int, step: int, height: int, width: int
    ) -> tuple[float, Box | None] | None:
        """The share that each image keeps, and the rectangle that cutmix takes from it."""
        generator = torch.default_generator  # torch's Beta draws from no other
        state = generator.get_state()
        generator.manual_seed(sample_seed(self.seed, epoch, step, MIXING))
        try:
            chance, choice = torch.rand(2).tolist()
            if not self.alphas or chance >= self.probability:
                return None
            kind = list(self.alphas)[int(choice * len(self.alphas))]
            alpha = torch.tensor([self.alphas[kind]], device="cpu")
            share = Beta(alpha, alpha).sample().item()
            if kind == "mixup":
                return share, None
            across, down = (int(torch.randint(side, (1,))) for side in (width, height))
        finally:
            generator.set_state(state)
        half = 0.5 * math.sqrt(1 - share)
        half_width, half_height = int(half * width), int(half * height)
        box = Box(
            max(down - half_height, 0),
            min(down + half_height, height),
            max(across - half_width, 0),
            min(across + half_width, width),
        )
        taken = (box.bottom - box.top) * (box.right - box.left)
        return 1 - taken / (height * width), box
