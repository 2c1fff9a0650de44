"""The task of saying in words what an image shows."""

from __future__ import annotations

from torch import Tensor

from vit.structures import CaptionBatch
from vit.tasks.sequence import TextToText
from vit.tasks.specs.captioning import CaptioningSpec


class Captioning(TextToText):
    """Trains an image backbone and a decoder of text that looks at its tokens.

    Arguments and metrics are those of TextToText.
    """

    spec = CaptioningSpec

    def shown_source(self, batch: CaptionBatch) -> Tensor:
        return batch.index

    def tables(self) -> dict[str, list]:
        """`samples`: number in the split, target and what was written, of the first images."""
        return {
            "samples": [
                [index, *self.tokenizer.decode([target, written])]
                for index, target, written in self._shown
            ]
        }
