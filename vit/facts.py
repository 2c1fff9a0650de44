"""What data sets know of themselves, and models and losses must agree with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vit.structures import UNKNOWN


@dataclass(frozen=True)
class Facts:
    """What a data set knows of itself and everything built on it must agree with.

    `class_ids` are the numbers that the data's own files give the classes, where they have any.
    `white` is the value of white in images whose files do not say it (vit/data/deep_images.py).
    """

    num_classes: int
    class_names: tuple[str, ...]
    image_size: tuple[int, int]  # height, width in pixels
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    multi_label: bool = False
    class_ids: tuple[int, ...] = ()
    white: float | None = None

    def for_backbone(self) -> dict[str, Any]:
        """What a backbone is told of the data."""
        return {"image_size": self.image_size, "channels": self.channels}

    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """Inputs of a model that could come from such data, on the default device."""
        return (torch.rand(count, self.channels, *self.image_size, dtype=dtype),)

    def input_size(self) -> tuple[int, ...]:
        """Of one example, as a model's `flops` wants it."""
        return self.image_size

    def told(self) -> dict[str, Any]:
        """What a report says of them, as plain values; `facts_told` makes such facts of it."""
        return {
            "image_size": list(self.image_size),
            "channels": self.channels,
            "num_classes": self.num_classes,
        }


@dataclass(frozen=True)
class TextFacts:
    """What text data know of themselves; `tokenizer` is the JSON of vit.data.tokenizing.

    Without classes each text has another text.
    """

    num_classes: int
    class_names: tuple[str, ...]
    tokenizer: str
    vocabulary: int
    max_tokens: int
    max_target_tokens: int
    multi_label: bool = False

    def for_backbone(self) -> dict[str, Any]:
        """What a backbone is told of the data."""
        return {"vocabulary": self.vocabulary, "length": self.max_tokens}

    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """Inputs of a model that could come from such data, on the default device."""
        return tuple(torch.full((count, length), UNKNOWN) for length in self.input_size())

    def input_size(self) -> tuple[int, ...]:
        """Of one example, as a model's `flops` wants it."""
        target = () if self.num_classes else (self.max_target_tokens,)
        return (self.max_tokens, *target)

    def told(self) -> dict[str, Any]:
        """What a report says of them, as plain values; `facts_told` makes such facts of it."""
        return {
            "num_classes": self.num_classes,
            "vocabulary": self.vocabulary,
            "max_tokens": self.max_tokens,
            "max_target_tokens": self.max_target_tokens,
        }


@dataclass(frozen=True, kw_only=True)
class CaptionFacts(Facts):
    """What images with a text each know of themselves: of the images, and of the texts."""

    tokenizer: str
    vocabulary: int
    max_target_tokens: int

    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """Inputs of a model that could come from such data, on the default device."""
        texts = torch.full((count, self.max_target_tokens), UNKNOWN)
        return (*super().example(count, dtype), texts)

    def input_size(self) -> tuple[int, ...]:
        """Of one example, as a model's `flops` wants it."""
        return (*self.image_size, self.max_target_tokens)

    def told(self) -> dict[str, Any]:
        """What a report says of them, as plain values; `facts_told` makes such facts of it."""
        texts = {"vocabulary": self.vocabulary, "max_target_tokens": self.max_target_tokens}
        return {**super().told(), **texts}


AnyFacts = Facts | TextFacts


def facts_from(plain: dict[str, Any]) -> AnyFacts:
    """Facts of whatever kind, from the values of their fields."""
    if "tokenizer" not in plain:
        return Facts(**plain)
    return CaptionFacts(**plain) if "image_size" in plain else TextFacts(**plain)


def facts_told(report: Mapping[str, Any]) -> AnyFacts:
    """Facts that a model can be built from, without its data."""
    classes = report["num_classes"]
    names = tuple(map(str, range(classes)))
    if "max_tokens" in report:
        sizes = (report[key] for key in ("vocabulary", "max_tokens", "max_target_tokens"))
        return TextFacts(classes, names, "", *sizes)
    height, width = report["image_size"]
    channels = report["channels"]
    grey = (0.5,) * channels
    images = Facts(classes, names, (height, width), channels, grey, grey)
    if "vocabulary" not in report:
        return images
    texts = {key: report[key] for key in ("vocabulary", "max_target_tokens")}
    return CaptionFacts(**vars(images), tokenizer="", **texts)
