"""A text for each image: its data, its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from vit.data.formats.tokenizing import Tokenizer
from vit.facts import CaptionFacts
from vit.faults import Misfit
from vit.tasks.inputs import images_of
from vit.tasks.specs.sequence import TextToTextSpec, write


class CaptioningSpec(TextToTextSpec):
    """What an image shows, in words."""

    chosen_by = "task=captioning"
    head_example = "head=caption_decoder"

    def from_data(self, data: Any) -> dict[str, Any]:
        if not isinstance(data.facts, CaptionFacts):
            raise Misfit(
                "task=captioning wants images with texts, such as data=digit_captions; data is "
                f"{type(data).__name__}"
            )
        return {}

    def predict(
        self,
        trained: Any,
        inputs: Sequence[Image.Image],
        *,
        beams: int = 1,
        length_penalty: float = 1.0,
    ) -> list[dict[str, Any]]:
        """Of each image the `text` that the model writes."""
        facts = trained.facts
        batch = images_of(trained, inputs)
        rows = write(trained.model, batch, facts.max_target_tokens, beams, length_penalty)
        return [{"text": text} for text in Tokenizer(facts.tokenizer).decode(rows.tolist())]
