"""Scenes of handwritten digits with a sentence on each: no download.

The scenes are those of digit_scenes.py, which says where the digits are from.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from vit.data.core.sampling import Key
from vit.data.core.sources import Contents
from vit.data.core.split import Split
from vit.data.core.transforms import EvaluationTransform, normalised, pixels
from vit.data.digit_scenes import DigitScenes, SceneKeys, SceneView
from vit.data.formats.tokenizing import SMALLEST, Tokenizer, train_tokenizer
from vit.data.kinds.base import ImageData
from vit.data.kinds.text import Encoded
from vit.facts import CaptionFacts, Facts
from vit.structures import CaptionBatch

NOTHING = "nothing"


def caption(labels: np.ndarray, boxes_xyxy: np.ndarray) -> str:
    """ "3 above 7, 1 left of 4, 5": the digits from top to bottom, two by two.

    They are ordered by the middles of their boxes, at equal height from left to right. Of each
    pair, "above" if its middles lie at least as far apart downwards as across; otherwise "left of",
    the left one first. With an odd number the lowest comes alone at the end. "nothing" without any.
    """
    middles = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    order = np.lexsort((middles[:, 0], middles[:, 1])).tolist()
    parts = []
    for first, second in zip(order[::2], order[1::2], strict=False):
        across, down = middles[second] - middles[first]
        if abs(across) <= down:
            parts.append(f"{labels[first]} above {labels[second]}")
        else:
            left, right = (first, second) if across > 0 else (second, first)
            parts.append(f"{labels[left]} left of {labels[right]}")
    if len(order) % 2:
        parts.append(str(labels[order[-1]]))
    return ", ".join(parts) or NOTHING


class CaptionedScenes(SceneView):
    """Each scene with its sentence."""

    def captioned(self, position: int, channels: int) -> tuple[Image.Image, str]:
        picture, found = self.scenes.marked(position, channels)
        return picture, caption(found.labels, found.boxes_xyxy)


Captioned = tuple[Image.Image, str]


@dataclass(eq=False, kw_only=True)
class CaptionSplit(Split[Captioned, Captioned, CaptionBatch]):
    """Scenes with their sentences; nothing is augmented."""

    source: CaptionedScenes
    prepare: EvaluationTransform
    tokenizer: Tokenizer
    most: int  # tokens

    def read(self, sample: int) -> Captioned:
        return self.source.captioned(int(self.members[sample]), self.prepare.channels)

    def change(self, raw: Captioned, key: Key, view: int) -> Captioned:
        picture, text = raw
        return self.prepare.fitted(picture), text

    def collate(self, samples: list[Captioned], keys: list[Key], view: int) -> CaptionBatch:
        images = pixels([picture for picture, _ in samples])
        rows, _ = self.tokenizer.encode([text for _, text in samples], self.most)
        return CaptionBatch(
            normalised(images, self.prepare.mean, self.prepare.std),
            Encoded.of(rows).padded(range(len(rows))),
            torch.tensor([key.sample for key in keys]),
        )


@dataclass(kw_only=True, eq=False)
class DigitCaptions(SceneKeys, ImageData[CaptionedScenes]):
    """White digits of many sizes on black, and what a sentence says of where they are.

    The pictures are, for the same keys, those of DigitScenes, which explains them; see `caption`
    for the sentences. Nothing is augmented: there are as many scenes as are asked for.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._scenes()  # refuses odd values by their keys

    def _scenes(self) -> DigitScenes:
        own = {each.name: getattr(self, each.name) for each in fields(SceneKeys)}
        return DigitScenes(**own, split_seed=self.split_seed)

    def read(self) -> Contents[CaptionedScenes]:
        found = self._scenes().read()
        return Contents(
            {split: CaptionedScenes(source) for split, source in found.sources.items()},
            channels=found.channels,
            mean=found.mean,
            std=found.std,
            image_size=found.image_size,
            origin=found.origin,
        )

    @cached_property
    def facts(self) -> CaptionFacts:
        """Of the pictures, and the tokenizer, which knows all words that can come."""
        words = [f"{first} above {first}, {first} left of {first}" for first in range(10)]
        trained = train_tokenizer([*words, NOTHING], 4 * SMALLEST + 100)
        tokenizer = Tokenizer(trained)
        longest = ", ".join(["1 left of 1"] * (self.max_digits // 2) + ["1"])
        rows, _ = tokenizer.encode([longest, NOTHING], 1 << 20)
        return CaptionFacts(
            **vars(super().facts),
            tokenizer=trained,
            vocabulary=len(tokenizer),
            max_target_tokens=max(map(len, rows)),
        )

    @property
    def task(self) -> str:
        return "captioning"

    def transform_for(self, facts: Facts) -> EvaluationTransform:
        return EvaluationTransform(facts.image_size, facts.channels, facts.mean, facts.std)

    def _split(self, split: str, training: bool) -> CaptionSplit:
        source, members = self._source_of(split)
        return CaptionSplit(
            source=source,
            members=members,
            seed=self.seed,
            prepare=self.eval_transform,
            tokenizer=Tokenizer(self.facts.tokenizer),
            most=self.facts.max_target_tokens,
        )

    def use_checkpoint_facts(self, facts: CaptionFacts, transform: Any) -> None:
        super().use_checkpoint_facts(facts, transform)
        self.facts = facts

    def _counts(self, split: str) -> np.ndarray:
        return np.zeros(0, dtype=np.int64)
