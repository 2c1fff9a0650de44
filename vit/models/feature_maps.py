"""Models of timm that work in stages (ResNet, ConvNeXt, Swin, Hiera, …) behind our `Features`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from timm.models import group_parameters
from torch import Tensor, nn
from torch.func import functional_call

from vit.layers.norm import LayerNorm
from vit.models.batch_norm import still_statistics
from vit.structures import Grid

Answer = tuple[Float[Tensor, "batch tokens dim"], Float[Tensor, "batch prefix dim"]]


class WholeAnswer(nn.Module):
    """What timm's model would pool for its classes: all of it, its last convolutions and norm too.

    Where timm normalises or projects after pooling, that is done at each place instead. `model` is
    changed: its classes and its pool are gone.

    An image that is smaller than the model's stride gives one token.

    Raises ValueError for a model that cannot answer for each place of the image, and for an image
    whose sides do not divide.
    """

    def __init__(self, name: str, model: Any, image_size: tuple[int, int], channels: int):
        super().__init__()
        self.name = name
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        known: int = model.feature_info[-1]["reduction"]
        uneven = any(side % known for side in image_size)
        try:
            model.reset_classifier(0, "")
            shape = shape_of_answer(model, channels, image_size)
        except Exception as error:  # families differ in what they raise
            if uneven:
                raise ValueError(does_not_divide(name, known, *image_size)) from error
            raise _pools(name, f"{type(error).__name__}: {error}") from error
        self.num_prefix, rows, cols = 0, 0, 0
        if len(shape) == 4:
            self.dim, rows, cols = shape[1:] if not self.channels_last else (shape[3], *shape[1:3])
        elif len(shape) == 3:
            self.dim = shape[2]
            rows, cols = (side // known for side in image_size)
            self.num_prefix = shape[1] - rows * cols
        # A small image may end as one token, whatever the stride would be for a larger one.
        self.stride = image_size[0] if (rows, cols) == (1, 1) else known
        if self.num_prefix < 0 or (rows * self.stride, cols * self.stride) != tuple(image_size):
            if uneven:
                raise ValueError(does_not_divide(name, known, *image_size))
            raise _pools(name, f"it gives {list(shape)} for {_pixels(*image_size)}")

    def forward(self, model: Any, images: Tensor, grid: Grid) -> Answer:
        x = model(images)
        if x.ndim == 4:
            x = x if self.channels_last else x.permute(0, 2, 3, 1)
            _require_grid(self.name, (x.shape[1], x.shape[2]), grid, images)
            x = x.flatten(1, 2)
        _require_count(self.name, x.shape[1] - self.num_prefix, grid, images)
        return x[:, self.num_prefix :], x[:, : self.num_prefix]


class JoinedMaps(nn.Module):
    """Some of the maps that timm's `features_only=True` gives, joined at the finest of their grids.

    A coarser map has each of its cells repeated; each map has a norm of its own before, since their
    scales differ; their channels lie side by side. `stages` are numbers of timm's maps, 0 the
    finest and -1 the last. `model` is changed: what comes after the last map used is gone.

    Raises ValueError for maps that the model does not have.
    """

    num_prefix = 0
    newly_made = True  # of no weights that the model started from: trained whatever is frozen

    def __init__(self, name: str, model: Any, stages: tuple[int, ...]):
        super().__init__()
        info = model.feature_info
        maps = ", ".join(f"{at} (stride {each['reduction']})" for at, each in enumerate(info))
        wrong = [at for at in stages if type(at) is not int or not -len(info) <= at < len(info)]
        chosen = sorted({at % len(info) for at in stages}) if not wrong else []
        if wrong or not chosen or len(chosen) < len(stages):
            raise ValueError(
                f"backbone.stages is {list(stages)}; wanted some of the maps of {name}, each once: "
                f"{maps}, or from -1, the last, backwards."
            )
        self.name, self.strides = name, [info[at]["reduction"] for at in chosen]
        widths = [info[at]["num_chs"] for at in chosen]
        self.stride = min(self.strides)
        if any(each % self.stride for each in self.strides):
            raise ValueError(
                f"backbone.stages={list(stages)}: the strides {self.strides} of {name} do not "
                f"divide by {self.stride}. Choose other maps: {maps}."
            )
        self.stages = model.prune_intermediate_layers(chosen, prune_norm=True, prune_head=True)
        self.norms = nn.ModuleList(LayerNorm(width) for width in widths)
        self.dim = sum(widths)

    def forward(self, model: Any, images: Tensor, grid: Grid) -> Answer:
        maps = model.forward_intermediates(
            images, indices=self.stages, output_fmt="NCHW", intermediates_only=True
        )
        joined = []
        for each, norm, stride in zip(maps, self.norms, self.strides, strict=True):
            times = stride // self.stride
            x = norm(each.permute(0, 2, 3, 1))  # [batch, rows, cols, width]
            _require_grid(self.name, (x.shape[1] * times, x.shape[2] * times), grid, images)
            joined.append(repeated(x, times))
        x = torch.cat(joined, dim=-1).flatten(1, 2)
        return x, x[:, :0]


def repeated(
    x: Float[Tensor, "batch rows cols dim"], times: int
) -> Float[Tensor, "batch more_rows more_cols dim"]:
    """Each cell `times` by `times`; its gradient is a sum, the same whenever a GPU computes it."""
    if times == 1:
        return x
    batch, rows, cols, dim = x.shape
    x = x[:, :, None, :, None].expand(-1, -1, times, -1, times, -1)
    return x.reshape(batch, rows * times, cols * times, dim)


def shape_of_answer(model: nn.Module, channels: int, size: tuple[int, int]) -> tuple[int, ...]:
    """Of the model's answer to one image, found without computing anything."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    weights = {name: tensor.to("meta") for name, tensor in tensors}
    image = torch.empty(1, channels, *size, device="meta")
    with still_statistics(model), torch.no_grad():
        return tuple(functional_call(model, weights, (image,)).shape)


def depths_by_timm(model: Any) -> dict[str, int] | None:
    """How deep timm says that each parameter lies, from 0 on; None where it says nothing."""
    try:
        depths = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    except (AttributeError, NotImplementedError, ValueError, TypeError, AssertionError):
        return None
    named = {name for name, _ in model.named_parameters()}
    return dict(depths) if set(depths) == named else None


def does_not_divide(name: str, stride: int, height: int, width: int) -> str:
    """What is said of an image that `name` cannot part into cells of `stride` pixels."""
    low = max(min(height, width) // stride, 1) * stride
    return (
        f"image is {height}x{width} px; both sides must divide by the patch size of {name}, "
        f"{stride}. Change data.image_size, to {low} or {low + stride} say, or pick another "
        "backbone.name."
    )


def _require_grid(name: str, found: tuple[int, int], grid: Grid, images: Tensor) -> None:
    if found != tuple(grid):
        raise ValueError(
            f"{name} gives {found[0]}x{found[1]} cells for {_pixels(*images.shape[-2:])}, where "
            f"its stride makes {grid.rows}x{grid.cols}. Change data.image_size, or pick another "
            "backbone.name."
        )


def _require_count(name: str, found: int, grid: Grid, images: Tensor) -> None:
    if found != grid.rows * grid.cols:
        _require_grid(name, (1, found), grid, images)


def _pools(name: str, why: str) -> ValueError:
    return ValueError(
        f"{name} does not answer for each place of an image once its pool is gone ({why}). "
        "Take its last feature map by backbone.stages=[-1], or pick another backbone.name."
    )


def _pixels(height: int, width: int) -> str:
    return f"{height}x{width} px"
