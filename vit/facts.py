"""What data sets know of themselves, and models and losses must agree with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from vit.faults import Fault, Refused
from vit.structures import UNKNOWN

# Kinds from before facts named theirs: of these it is still not written, so that an older reader,
# and whoever compares two reports, finds what was always there.
UNNAMED = ("images", "texts", "captions")


class AnyFacts(ABC):
    """What the facts of every kind of data share. A new kind is a subclass with its own `kind`."""

    kind: ClassVar[str]
    num_classes: int
    class_names: tuple[str, ...]
    multi_label: bool

    def plain(self) -> dict[str, Any]:
        """The values of the fields, as they travel in a checkpoint; see `facts_from`."""
        return {**asdict(cast(Any, self)), **self._named_kind()}

    def _named_kind(self) -> dict[str, Any]:
        return {} if self.kind in UNNAMED else {"kind": self.kind}

    @abstractmethod
    def for_backbone(self) -> dict[str, Any]:
        """What a backbone is given of the data, by name."""

    @abstractmethod
    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """Inputs of a model that could come from such data, on the default device."""

    @abstractmethod
    def input_size(self) -> tuple[int, ...]:
        """Of one example, as a model's `flops` wants it."""

    def summary(self) -> dict[str, Any]:
        """What a report says of them, as plain values; `facts_from_summary` is the way back."""
        return {**self.sizes(), **self._named_kind()}

    @abstractmethod
    def sizes(self) -> dict[str, Any]:
        """What a model depends on, as plain values."""

    @classmethod
    @abstractmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> AnyFacts:
        """Facts that a model can be built from, without the data."""


@dataclass(frozen=True)
class Facts(AnyFacts):
    """What a data set knows of itself and everything built on it must agree with.

    `class_ids` are the numbers that the data's own files give the classes, where they have any.
    `white` is the value of white in images whose files do not say it: vit/data/core/deep_images.py.
    """

    kind: ClassVar[str] = "images"

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
        return {"image_size": self.image_size, "channels": self.channels}

    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        return (torch.rand(count, self.channels, *self.image_size, dtype=dtype),)

    def input_size(self) -> tuple[int, ...]:
        return self.image_size

    def sizes(self) -> dict[str, Any]:
        return {
            "image_size": list(self.image_size),
            "channels": self.channels,
            "num_classes": self.num_classes,
        }

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Facts:
        classes, channels = summary["num_classes"], summary["channels"]
        height, width = summary["image_size"]
        grey = (0.5,) * channels
        return Facts(classes, _numbered(classes), (height, width), channels, grey, grey)


@dataclass(frozen=True)
class TextFacts(AnyFacts):
    """What text data know of themselves; `tokenizer` is the JSON of vit.data.formats.tokenizing.

    Without classes each text has another text.
    """

    kind: ClassVar[str] = "texts"

    num_classes: int
    class_names: tuple[str, ...]
    tokenizer: str
    vocabulary: int
    max_tokens: int
    max_target_tokens: int
    multi_label: bool = False

    def for_backbone(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "length": self.max_tokens}

    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        return tuple(torch.full((count, length), UNKNOWN) for length in self.input_size())

    def input_size(self) -> tuple[int, ...]:
        target = () if self.num_classes else (self.max_target_tokens,)
        return (self.max_tokens, *target)

    def sizes(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "vocabulary": self.vocabulary,
            "max_tokens": self.max_tokens,
            "max_target_tokens": self.max_target_tokens,
        }

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> TextFacts:
        classes = summary["num_classes"]
        sizes = (summary[key] for key in ("vocabulary", "max_tokens", "max_target_tokens"))
        return TextFacts(classes, _numbered(classes), "", *sizes)


@dataclass(frozen=True, kw_only=True)
class CaptionFacts(Facts):
    """What images with a text each know of themselves: of the images, and of the texts."""

    kind: ClassVar[str] = "captions"

    tokenizer: str
    vocabulary: int
    max_target_tokens: int

    def example(self, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        texts = torch.full((count, self.max_target_tokens), UNKNOWN)
        return (*super().example(count, dtype), texts)

    def input_size(self) -> tuple[int, ...]:
        return (*self.image_size, self.max_target_tokens)

    def sizes(self) -> dict[str, Any]:
        texts = {"vocabulary": self.vocabulary, "max_target_tokens": self.max_target_tokens}
        return {**super().sizes(), **texts}

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> CaptionFacts:
        texts = {key: summary[key] for key in ("vocabulary", "max_target_tokens")}
        return CaptionFacts(**vars(Facts.from_summary(summary)), tokenizer="", **texts)


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))


def facts_from(plain: Mapping[str, Any]) -> AnyFacts:
    """Facts of whatever kind, from what `plain` gave; Refused where nobody here knows the kind."""
    fields = {name: value for name, value in plain.items() if name != "kind"}
    return _class_of(plain)(**fields)


def facts_from_summary(summary: Mapping[str, Any]) -> AnyFacts:
    """Facts that a model can be built from, without its data."""
    return _class_of(summary).from_summary(summary)


def kind_of(plain: Mapping[str, Any]) -> str:
    """The kind that facts or a report of them name; of those that name none, it is by their keys.

    Only kinds of UNNAMED do not name theirs, so there is nothing to add here for a new one.
    """
    if "kind" in plain:
        return str(plain["kind"])
    if "image_size" not in plain:
        return "texts"
    return "captions" if "vocabulary" in plain else "images"


def _class_of(plain: Mapping[str, Any]) -> type[AnyFacts]:
    kind, known = kind_of(plain), {each.kind: each for each in _below(AnyFacts)}
    if kind not in known:
        message = (
            f"are of the kind {kind!r}; known here are {', '.join(sorted(known))}. A newer vit, or "
            "the package of the run's data, knows more."
        )
        raise Refused([Fault("the facts of the data", message)])
    return known[kind]


def _below(kind: Any) -> Iterator[type[AnyFacts]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
