"""Attention has one home: here, as a module, over the formula of `softmax_attention`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.kv_cache import Memory
from vit.layers.linear import Start, linear
from vit.layers.softmax_attention import attention, attention_with_weights

# Turns queries and keys, for instance by their positions: (q, k) -> (q, k).
Rotate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Attention(nn.Module):
    """Multi-head attention: of tokens among themselves, or of tokens to a context.

    `qk_norm` makes a norm of width head_dim for queries and for keys; the scale stays
    1/√head_dim. `key_bias=False` leaves the bias out for the keys alone, as DINOv3 does (without
    qk_norm or rotation it cancels in the softmax). `context_dim` makes it a cross-attention to
    contexts of that width; without it one module serves for both, by one fused matrix. Dropouts
    act in training only. `start` says how weights start: see vit.layers.linear; a fused matrix
    counts as one.

    Args:
        qkv_bias: whether queries, keys and values have a bias.
        key_bias: whether the keys have one, where the others do.
        proj_bias: whether the projection of the heads' answers has one.
        dropout: rate of attention weights left out.
        proj_dropout: rate of what the projection answers.

    A variant of what happens between the heads and the projection overrides `joined`; both
    `forward` and `with_weights` go through it.

    Raises ValueError where `heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        context_dim: int | None = None,
        *,
        qkv_bias: bool = True,
        key_bias: bool = True,
        proj_bias: bool = True,
        qk_norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        proj_dropout: float = 0.0,
        start: Start = "normal",
    ):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.dropout = dropout
        self.proj_dropout = proj_dropout
        self.context_dim = context_dim
        whole_bias = qkv_bias and key_bias
        if context_dim is None:
            self.qkv = linear(dim, 3 * dim, bias=whole_bias, start=start)
        else:
            self.query = linear(dim, dim, bias=whole_bias, start=start)
            self.key_value = linear(context_dim, 2 * dim, bias=whole_bias, start=start)
        self.query_bias = self.value_bias = None
        if qkv_bias and not key_bias:
            self.query_bias = nn.Parameter(torch.zeros(dim))
            self.value_bias = nn.Parameter(torch.zeros(dim))
        self.query_norm = self.key_norm = None
        if qk_norm is not None:
            self.query_norm, self.key_norm = qk_norm(dim // heads), qk_norm(dim // heads)
        self.proj = linear(dim, dim, bias=proj_bias, start=start)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        context: Float[Tensor, "batch context context_dim"] | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        rotate: Rotate | None = None,
        position: Tensor | None = None,
        context_position: Tensor | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Tokens attend to `context`, or to one another. Masks as in `attention`.

        `position` is added to what queries are made of, and `context_position` (`position` too,
        where tokens attend to one another) to what keys are made of; values go without, as in
        DETR's decoder. With a `memory` tokens attend to all that it holds, too, and before it;
        the keys and values of this call are added to it.
        """
        dropout = self.dropout if self.training else 0.0
        q, k, v = self._queries_keys_values(x, context, rotate, position, context_position)
        if memory is not None:
            k, v = memory.extended(k, v)
        out = attention(q, k, v, mask, causal=causal, dropout=dropout)
        out = self.proj(self.joined(out, x))
        if self.proj_dropout:
            out = F.dropout(out, self.proj_dropout, self.training)
        return out

    def with_weights(
        self,
        x: Float[Tensor, "batch tokens dim"],
        context: Float[Tensor, "batch context context_dim"] | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        rotate: Rotate | None = None,
        position: Tensor | None = None,
        context_position: Tensor | None = None,
        memory: Memory | None = None,
    ) -> tuple[Float[Tensor, "batch tokens dim"], Float[Tensor, "batch heads tokens keys"]]:
        """What `forward` answers in evaluation, by the explicit path, and the weights behind it.

        The answer is made from these weights, so that gradients with respect to them can be taken.
        """
        q, k, v = self._queries_keys_values(x, context, rotate, position, context_position)
        if memory is not None:
            k, v = memory.extended(k, v)
        out, weights = attention_with_weights(q, k, v, mask, causal=causal)
        return self.proj(self.joined(out, x)), weights

    def joined(
        self,
        answers: Float[Tensor, "batch heads tokens head_dim"],
        x: Float[Tensor, "batch tokens dim"],
    ) -> Float[Tensor, "batch tokens dim"]:
        """What the projection takes: the heads' answers, side by side.

        `x` are the tokens that asked, as `forward` was given them.
        """
        return answers.transpose(1, 2).flatten(2)

    def flops(self, tokens: int, context_tokens: int | None = None) -> int:
        """Of one forward pass for one image; a multiplication and an addition are two."""
        dim = self.proj.in_features
        keys = tokens if context_tokens is None else context_tokens
        projections = 4 * tokens * dim**2 + 4 * keys * (self.context_dim or dim) * dim
        return projections + 4 * tokens * keys * dim

    def _queries_keys_values(
        self,
        x: Tensor,
        context: Tensor | None,
        rotate: Rotate | None,
        position: Tensor | None,
        context_position: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each as [batch, heads, tokens, head_dim], normalised and rotated."""
        # [batch, tokens, heads, head_dim]
        q, k, v = self._project(x, context, position, context_position)
        if self.query_bias is not None and self.value_bias is not None:
            q = q + self.query_bias.unflatten(0, (self.heads, -1))
            v = v + self.value_bias.unflatten(0, (self.heads, -1))
        if self.query_norm is not None and self.key_norm is not None:
            # Under autocast a norm answers in float32; the products want one type for all three.
            q, k = self.query_norm(q).to(v.dtype), self.key_norm(k).to(v.dtype)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if rotate is not None:
            q, k = rotate(q, k)
        return q, k, v

    def _project(
        self,
        x: Tensor,
        context: Tensor | None,
        position: Tensor | None,
        context_position: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if context is None and self.context_dim is not None:
            raise ValueError(
                f"this attention has context_dim={self.context_dim} and got no context. "
                "Pass one, or build it without context_dim to attend among the tokens."
            )
        if context is None and position is None:
            # One unbind over [3, heads, head_dim]: its backward is one copy, a split's is slower.
            q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
            return q, k, v
        if context is None:
            context, context_position = x, position
        x = x if position is None else x + position
        dim = len(self.proj.weight)
        own = [dim] if self.context_dim is None else []
        layer = self.qkv if own else self.key_value
        # One split for all parts: its backward is one copy, that of slices one for each.
        parts = _split(layer, [*own, 2 * dim] if context_position is None else [*own, dim, dim])
        q = F.linear(x, *parts.pop(0)) if own else self.query(x)
        if context_position is None:
            k, v = F.linear(context, *parts[0]).unflatten(-1, (2, self.heads, -1)).unbind(2)
        else:
            k, v = F.linear(context + context_position, *parts[0]), F.linear(context, *parts[1])
            k, v = (part.unflatten(-1, (self.heads, -1)) for part in (k, v))
        return q.unflatten(-1, (self.heads, -1)), k, v


def _split(layer: nn.Linear, sizes: list[int]) -> list[tuple[Tensor, Tensor | None]]:
    """Weight and bias of each part of a linear layer's outputs."""
    biases = [None] * len(sizes) if layer.bias is None else layer.bias.split(sizes)
    return list(zip(layer.weight.split(sizes), biases, strict=True))


def check_heads(dim: int, heads: int, key: str = "backbone.heads") -> None:
    """Raises ValueError unless `dim` divides into `heads`; `key` is where these are configured."""
    if heads < 1 or dim % heads:
        near = max(1, round(dim / max(1, heads))) * max(1, heads)
        raise ValueError(
            f"a width of dim={dim} does not divide into heads={heads}. "
            f"Change {key}, or set backbone.dim={near}."
        )
