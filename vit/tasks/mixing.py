"""Mixup and CutMix of a batch, as a pure function of seed, epoch and position in the epoch."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.transforms import v2

from vit.data.randomness import sample_seed

MIXING = 2  # the purpose of these draws; augmentation and erasing have 0 and 1


class Mixing:
    """Mixes each image with its neighbour in the batch, and their targets in the same shares.

    A batch is mixed with `probability`, by mixup or by cutmix with equal chances where both have
    an alpha above 0. Everything is drawn on the CPU, so no device is waited for, and from numbers
    that depend on (seed, epoch, position) alone; the global generator is left as it was.

    The partner is the neighbour within one device's batch: runs that share a global batch among
    other numbers of devices see the same mixtures only where each device's batch is equally large.

    Source: Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899; torchvision.
    """

    def __init__(
        self, num_classes: int, *, mixup: float, cutmix: float, probability: float, seed: int
    ):
        self.kinds: list[v2.Transform] = []
        with torch.device("cpu"):  # the check builds on the meta device, where Beta cannot look
            if mixup:
                self.kinds.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
            if cutmix:
                self.kinds.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))
        self.probability = probability
        self.seed = seed

    def __call__(
        self,
        images: Float[Tensor, "batch channels height width"],
        targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"],
        epoch: int,
        position: int,
    ) -> tuple[
        Float[Tensor, "batch channels height width"],
        Int[Tensor, " batch"] | Float[Tensor, "batch classes"],
    ]:
        """The batch, mixed or as it was; `position` counts the batches of all ranks."""
        generator = torch.default_generator  # torchvision draws from the global one
        state = generator.get_state()
        generator.manual_seed(sample_seed(self.seed, epoch, position, MIXING))
        try:
            chance, choice = torch.rand(2).tolist()
            if not self.kinds or chance >= self.probability:
                return images, targets
            return self.kinds[int(choice * len(self.kinds))](images, targets)
        finally:
            generator.set_state(state)
