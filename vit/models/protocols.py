"""What a task asks of a head, by the sort of answer that it gives.

A head is a torch module. What it is built with are the arguments that the task knows (`dim`, the
number of classes, …); the rest of its constructor is config. What it is called with says the
protocol here, and `vit.tasks.heads.build_head` holds both against its signatures. A task with a
head of another sort writes a protocol of its own, with a `__call__` and a docstring.

A head may tell `flops`, `no_weight_decay()` and `shards()` better than the defaults of
`vit.models.contract.complete_head` do.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from vit.structures import ClassMaps, Detections, Features, Objects


@runtime_checkable
class FeatureHead(Protocol):
    """From the features of an image or a text to logits [batch, classes].

    Built with `dim` (of the tokens) and `num_classes`. `flops(tokens)` counts one forward pass.
    """

    def __call__(self, features: Features) -> Tensor: ...


@runtime_checkable
class PixelHead(Protocol):
    """From images to objects, or to a class for each pixel; it drives the backbone's stages.

    Built with `dim`, `num_classes`, `patch_size` (in pixels) and `depth` (the backbone's blocks).
    `padding` is true at pixels that were filled up, `objects` are those to find, in training alone.
    `flops(backbone, height, width)` counts backbone and head.
    """

    def __call__(
        self, backbone: Any, images: Tensor, *, padding: Tensor | None, objects: Objects | None
    ) -> Detections | ClassMaps: ...


@runtime_checkable
class TextHead(Protocol):
    """From what a backbone read to the logits of each next token, [batch, tokens, vocabulary].

    Built with `dim`, `vocabulary` and `length` (tokens that it writes at most). `context` are the
    backbone's tokens, `context_mask` is false where these only fill up; `table` are the backbone's
    embeddings where the head shares them, `memory` what it saw so far, and `last` asks for the
    last token's logits alone. `flops(tokens, context_tokens)` counts one forward pass.
    """

    def __call__(
        self,
        tokens: Tensor,
        context: Tensor,
        context_mask: Tensor | None,
        *,
        table: Tensor | None,
        memory: list[Any] | None,
        last: bool,
    ) -> Tensor: ...
