"""Weights brought to images of another size, and of other channels, than they were trained on."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from vit.layers.table_resize import Resize, resized
from vit.models.pretrained.conversion import Converted
from vit.models.pretrained.origin import Unfit, table_of


def fitted(
    found: Converted,
    image_size: tuple[int, int],
    channels: int,
    resize: Resize | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors for such images, and what was done to which.

    A table of positions is resized by the way of its source, or by `resize`. A kernel for colours
    gives one for grey by its sum over the channels, for others by their repetition, scaled so that
    equal channels answer the same.
    """
    state, done, origin = dict(found.state), [], found.origin
    grid = replace(origin, image_size=image_size).grid
    name = table_of(origin)
    if name in state and tuple(state[name].shape[:2]) != grid:
        how = resize or origin.resize
        rows, cols = state[name].shape[:2]
        state[name] = resized(state[name], grid, how)
        done.append(f"{name} from {rows}x{cols} to {grid[0]}x{grid[1]} ({how})")
    if channels != origin.channels:
        kernel = state["patch.proj.weight"].unflatten(1, (origin.channels, -1))
        state["patch.proj.weight"] = _of_channels(kernel, channels).flatten(1)
        done.append(f"patch.proj.weight from {origin.channels} to {channels} channels")
    return state, done


def _of_channels(kernel: Tensor, channels: int) -> Tensor:
    """[dim, channels, pixels] for so many channels."""
    given = kernel.shape[1]
    if channels == 1:
        return kernel.sum(1, keepdim=True)
    if given not in (1, 3):
        raise Unfit(f"weights for {given} channels; the images have {channels}")
    repeated = kernel.repeat(1, -(-channels // given), 1)[:, :channels]
    return repeated * (given / channels)
