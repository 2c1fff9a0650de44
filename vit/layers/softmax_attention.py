"""Attention as a formula: softmax(scale · QKᵀ + mask) V.

`attention` is the fused path, `attention_with_weights` the explicit one that also returns the
weights; they agree to 1e-6 in float32. Both mend the two slips of the founding article's
`attention(Q, K, V, mask)`: its scores lack the factor 1/√d_k, and its softmax by plain
exponentials overflows. Its −1e9 where the mask is 0 becomes an exact zero weight.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# Numbers a CPU handles at once; 0 where it was not measured.
_LANES = {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 0)


def attention(
    q: Float[Tensor, "batch heads queries head_dim"],
    k: Float[Tensor, "batch heads keys head_dim"],
    v: Float[Tensor, "batch heads keys value_dim"],
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Mean of the values, weighted by the softmax of scale · q·k; scale defaults to 1/√head_dim.

    `mask` has the axes [queries, keys] or [batch, heads, queries, keys], any of them may be 1.
    Boolean (or the article's 0/1 integers): True means "may attend". Floating: added to the
    scores, −inf forbids. `causal` lets query i see the keys 0…i, as torch does, also where there
    are more keys than queries. A query that may see no key at all gives zeros, and finite
    gradients. `dropout` drops weights whenever it is above 0: pass 0 in evaluation.

    On a CPU some problems take the explicit path, where it is faster; on other devices none does.

    Raises ValueError for a mask of another number of axes.
    """
    if q.device.type == "cpu" and _plain_is_faster(q, k, mask, dropout):
        return attention_with_weights(q, k, v, mask, causal=causal, scale=scale, dropout=dropout)[0]
    if mask is None:
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=causal, scale=scale, dropout_p=dropout
        )
    mask, blind = _open_blind_rows(q, k, mask, causal)
    if mask.is_floating_point():
        mask = mask.to(q.dtype)
    out = F.scaled_dot_product_attention(q, k, v, mask, scale=scale, dropout_p=dropout)
    return out.masked_fill(blind, 0.0)


def attention_with_weights(
    q: Float[Tensor, "batch heads queries head_dim"],
    k: Float[Tensor, "batch heads keys head_dim"],
    v: Float[Tensor, "batch heads keys value_dim"],
    mask: Tensor | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> tuple[
    Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries keys"]
]:
    """As `attention`, by plain products; also returns the weights.

    Each row of the weights sums to 1, or to 0 for a query that may see no key. They are the
    softmax before dropout, in float32 at least.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = (q * scale) @ k.transpose(-2, -1)  # [batch, heads, queries, keys]
    wide = torch.float32 if scores.dtype in (torch.bfloat16, torch.float16) else scores.dtype
    blind = None
    if mask is None and causal:
        mask = _causal(q, k)
    elif mask is not None:
        mask, blind = _open_blind_rows(q, k, mask, causal)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1, dtype=wide)
    if blind is not None:
        weights = weights.masked_fill(blind, 0.0)
    used = F.dropout(weights, dropout) if dropout else weights
    return used.to(v.dtype) @ v, weights


def _plain_is_faster(q: Tensor, k: Tensor, mask: Tensor | None, dropout: float) -> bool:
    """Whether plain products beat torch's fused kernel on a CPU.

    With dropout, or a mask that is learned, torch itself leaves the fused kernel, for one that
    takes 1.3 to 2 times as long as ours. Else the fused kernel wins, but for keys that fill the
    vectors badly: it goes through the remainder one number at a time. Measured with torch 2.14.1
    on one AVX-512 thread, time of a forward pass by plain products over that of the fused kernel,
    for heads of 16: 1.1 at 16 keys, 0.7 at 24, 0.6 at 31, 1.3 at 32, 0.6 at 47, 1.2 at 49, 3 at
    197; for heads of 64 never below 0.9.
    """
    if dropout or (mask is not None and mask.requires_grad and torch.is_grad_enabled()):
        return True
    keys, head_dim = k.shape[-2:]
    return _LANES > 0 and head_dim <= 32 and 16 < keys < 128 and keys % _LANES >= _LANES // 2


def _causal(q: Tensor, k: Tensor) -> Tensor:
    return torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()


def _open_blind_rows(q: Tensor, k: Tensor, mask: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
    """The mask with its fully masked rows opened, and which rows those were.

    A softmax over nothing is NaN, in its gradient too. So such rows attend to everything first
    and are set to zero afterwards, which also cuts their gradient. No value is read back, so
    nothing waits for the device.
    """
    if mask.ndim not in (2, 4):
        raise ValueError(
            f"mask has the shape {tuple(mask.shape)}; wanted [queries, keys] or "
            "[batch, heads, queries, keys] with 1 for axes that are shared. A mask per image "
            "needs an axis for the heads: mask[:, None]."
        )
    if mask.is_floating_point():
        if causal:
            mask = mask.masked_fill(~_causal(q, k), float("-inf"))
        blind = (mask == float("-inf")).all(-1, keepdim=True)
        return mask.masked_fill(blind, 0.0), blind
    mask = mask.bool()
    if causal:
        mask = mask & _causal(q, k)
    blind = ~mask.any(-1, keepdim=True)
    return mask | blind, blind
