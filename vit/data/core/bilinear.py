"""Maps enlarged to a picture's pixels a few rows at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

BAND_VALUES = 1 << 19  # of the enlarged maps that are held at once; a row at least


class Rows(NamedTuple):
    """Some rows of maps, [rows, cols, n]: `first` is the first one's number in the whole map."""

    values: Float[Tensor, "rows cols n"]
    first: int


def enlarged(rows: Rows, of: int, size: tuple[int, int], first: int, last: int) -> Rows:
    """Rows `first` to before `last` of maps of `of` rows scaled to `size` (height, width).

    What torch's `interpolate(mode="bilinear")` gives, to rounding, but value by value: a band is
    bit for bit the same rows of the whole. `rows` must hold what `reach` names.
    """
    values = rows.values
    if size[0] == of:
        values = values[first - rows.first : last - rows.first]
    else:
        low, high, share = _between(size[0], of, first, last, values)
        above, below = (values.index_select(0, each - rows.first) for each in (low, high))
        values = _mixed(above, below, share[:, None, None])
    if size[1] != values.shape[1]:
        low, high, share = _between(size[1], values.shape[1], 0, size[1], values)
        left, right = values.index_select(1, low), values.index_select(1, high)
        values = _mixed(left, right, share[:, None])
    return Rows(values, first)


def reach(of: int, height: int, first: int, last: int) -> tuple[int, int]:
    """Which rows of maps of `of` rows `enlarged` needs: from the first to before the last."""
    # One more at each end, so that nothing hangs on how the device rounds.
    begin, end = (int((row + 0.5) * of / height - 0.5) for row in (first, last - 1))
    return max(begin - 1, 0), min(end + 3, of)


def bands(height: int, values_a_row: int) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of bands of `BAND_VALUES` each."""
    step = max(BAND_VALUES // max(values_a_row, 1), 1)
    for first in range(0, height, step):
        yield first, min(first + step, height)


def by_bands(
    height: int, values_a_row: int, of_rows: Callable[[int, int], Tensor]
) -> Shaped[Tensor, "*some height width"]:
    """What `of_rows(first, last)` gives of each band, [..., rows, width], as one."""
    whole: Tensor | None = None
    for first, last in bands(height, values_a_row):
        part = of_rows(first, last)
        if last - first == height:
            return part
        # Room for all at once: small parts kept between large ones would tear the heap to pieces
        # (6 GB for a picture of 3000×4000 and 150 classes, glibc 2.36).
        if whole is None:
            whole = part.new_empty(*part.shape[:-2], height, part.shape[-1])
        whole[..., first:last, :] = part
    assert whole is not None
    return whole


def _between(
    count: int, among: int, first: int, last: int, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the positions `first` to before `last` of `count`: the two of `among` that each lies
    between, and its share of the second."""
    # In float32 as torch does, so that both agree where the share is.
    at = torch.arange(first, last, dtype=torch.float32, device=like.device)
    scale = torch.tensor(among, dtype=torch.float32) / count
    at = ((at + 0.5) * float(scale) - 0.5).clamp(min=0, max=among - 1)
    low = at.long()
    return low, (low + 1).clamp(max=among - 1), at - low


def _mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    # Not lerp: whether it rounds once or twice depends on where in a band a value lies.
    return one.mul_(1 - share).add_(other.mul_(share))
