"""Patch embeddings that break: by an image of one colour; in the second process, after a while."""

import os
import time

import torch
from torch import Tensor

from vit.layers.patch import LinearPatch


class Poisoned(LinearPatch):
    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(2)
        plain = (pixels.amax(2) == pixels.amin(2)).all(1)
        return super().forward(images) + torch.where(plain, torch.nan, 0.0)[:, None, None]


class Endless(LinearPatch):
    steps = 0

    def forward(self, images: Tensor) -> Tensor:
        self.steps += self.training
        while self.steps > 40 and os.environ.get("RANK") == "1":
            time.sleep(0.1)
        return super().forward(images)
