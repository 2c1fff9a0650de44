"""The task of saying in words what an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.data.tokenizing import Tokenizer
from vit.facts import CaptionFacts
from vit.faults import Misfit
from vit.structures import CaptionBatch
from vit.tasks.sequence import TextToText, write


class Captioning(TextToText):
    """Trains an image backbone and a decoder of text that looks at its tokens.

    Arguments and metrics are those of TextToText.
    """

    words = ("task=captioning", "head=caption_decoder")

    @classmethod
    def given_by(cls, data: Any) -> dict[str, Any]:
        if not isinstance(data.facts, CaptionFacts):
            raise Misfit(
                "task=captioning wants images with texts, such as data=digit_captions; data is "
                f"{type(data).__name__}"
            )
        return {}

    @classmethod
    def predicted(cls, trained: Any, images: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """Of each image the `text` that the model writes."""
        device = next(trained.model.parameters()).device
        batch = torch.stack([trained.transform(image) for image in images]).to(device)
        task, facts = trained.config["task"], trained.facts
        beams, penalty = task.get("beams", 1), task.get("length_penalty", 1.0)
        rows = write(trained.model, batch, facts.max_target_tokens, beams, penalty)
        return [{"text": text} for text in Tokenizer(facts.tokenizer).decode(rows.tolist())]

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
