"""What a backbone asks of the parts that it is made of, by the place that they take.

A part is a torch module. What it is built with by position are the facts that the backbone alone
knows; its keys come after a `*`. Nothing needs to extend a class of ours: what has these methods
is a part. `flops` are those of one forward pass for one image; a multiplication and an addition
are two. (For an isinstance every method below must be there; torch's own `__call__` is.)
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from vit.layers.attention import Rotate


@runtime_checkable
class PatchPart(Protocol):
    """From images [batch, channels, height, width] to tokens [batch, tokens, dim], row-major.

    Built with `channels`, `dim` and `patch_size` in pixels.
    """

    def __call__(self, images: Tensor) -> Tensor: ...
    def forward(self, images: Tensor) -> Tensor: ...
    def flops(self, height: int, width: int) -> int: ...


@runtime_checkable
class PositionPart(Protocol):
    """Tells the patch tokens where in the grid (rows, cols) they lie: see vit.layers.position.

    Built with `dim`, `heads` and the `grid` of the training images. `rotation` is what attention
    does to queries and keys of `prefix` tokens followed by the patches; None for nothing.
    """

    def __call__(self, patches: Tensor, grid: tuple[int, int]) -> Tensor: ...
    def forward(self, patches: Tensor, grid: tuple[int, int]) -> Tensor: ...
    def rotation(
        self, grid: tuple[int, int], prefix: int, kept: Tensor | None = None
    ) -> Rotate | None: ...


@runtime_checkable
class TokenPositionPart(Protocol):
    """Tells tokens where in their sequence they stand: see vit.layers.sequence_position.

    Built with `dim`, `heads` and the `length` of the longest training sequence. `start` is the
    place of the first token.
    """

    def __call__(self, tokens: Tensor, start: int = 0) -> Tensor: ...
    def forward(self, tokens: Tensor, start: int = 0) -> Tensor: ...
    def rotation(self, start: int, stop: int) -> Rotate | None: ...


@runtime_checkable
class NormPart(Protocol):
    """Normalises the last axis, whatever stands before it. Built with its width, `dim`."""

    def __call__(self, x: Tensor) -> Tensor: ...
    def forward(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class MlpPart(Protocol):
    """Changes each token [batch, tokens, dim] by itself.

    Built with `dim` and `hidden`, and with the backbone's `bias` and `dropout`.
    """

    def __call__(self, x: Tensor) -> Tensor: ...
    def forward(self, x: Tensor) -> Tensor: ...
    def flops(self, tokens: int) -> int: ...


@runtime_checkable
class AttentionPart(Protocol):
    """Tokens [batch, tokens, dim] that look at one another.

    Built with `dim`, `heads`, and the backbone's keys of attention (see `Attention`). A mask is as
    in vit.layers.softmax_attention.attention, `rotate` from the position part. Sequence models pass
    `context` and `memory` too.

    `with_weights` answers as `forward` does in evaluation, by a path on which the answer is made
    from the weights [batch, heads, tokens, keys] that it gives as well. It is the one way out for
    attention weights, and nothing calls it but vit.explain.record, on request.
    """

    def __call__(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        rotate: Rotate | None = None,
    ) -> Tensor: ...
    def forward(self, x: Tensor, *args: Any, **given: Any) -> Tensor: ...
    def with_weights(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        rotate: Rotate | None = None,
    ) -> tuple[Tensor, Tensor]: ...
    def flops(self, tokens: int) -> int: ...
