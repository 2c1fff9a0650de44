"""What a model needs of a backbone and a head of anybody's, and a default for what can have one.

A backbone is a torch module with

    dim: int                          width of its tokens
    patch_size: int                   of a backbone of images: pixels from one token to the next,
                                      which it may call `stride` as well
    forward(images) -> Features       and `forward(images, blocks)` for heads that read several

and whatever else `Backbone` lists it may declare better than the defaults here do: FLOPs are
counted, depths follow the order of its parts, what does not decay is known by its shape, shards are
its parts with parts of their own. `embed` and `encode` are for models that work in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.models.backbone_head import block_depths, vectors_and
from vit.models.batch_norm import still_statistics
from vit.structures import UNKNOWN, Features, Grid


class Backbone(Protocol):
    """All that is ever asked of a backbone of images."""

    dim: int
    patch_size: int
    num_prefix: int  # tokens before the patches; 0 by default
    has_class_token: bool  # whether the first of them is one; False by default
    depth: int  # blocks; by default the length of `blocks`, or the number of its children
    has_stages: bool  # whether models may work between `embed` and `encode`; if it has both

    def forward(self, images: Tensor, blocks: tuple[int, ...] = ()) -> Features: ...
    def grid(self, height: int, width: int) -> Grid: ...
    def flops(self, height: int, width: int) -> int: ...
    def depths(self) -> dict[str, int]: ...
    def shards(self) -> list[nn.Module]: ...
    def no_weight_decay(self) -> set[str]: ...
    def embed(self, images: Tensor) -> tuple[Tensor, Grid]: ...
    def encode(self, tokens: Tensor, grid: Grid) -> Features: ...


COUNTS = {"num_prefix": 0, "depth": 1}  # the least they can be
STAGES = ("embed", "encode")
METHODS = ("grid", "flops", "depths", "shards", "no_weight_decay", "embed", "encode")


def complete(backbone: Any, given: Mapping[str, Any]) -> Any:
    """The backbone itself, with a default for what it does not tell.

    `given` is what it was built with of the data (`facts.for_backbone()`).
    Raises ValueError that names everything it lacks or tells wrongly, and what it must be.
    """
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"is a {type(backbone).__name__}; wanted a torch.nn.Module")
    images = "image_size" in given
    if not hasattr(backbone, "patch_size") and hasattr(backbone, "stride"):
        backbone.patch_size = backbone.stride
    wrong = []
    wanted = {
        "dim": "the width of its tokens",
        "patch_size": "the side of a patch in pixels, or `stride`",
    }
    for name, what in wanted.items():
        value = getattr(backbone, name, None)
        if (images or name == "dim") and (type(value) is not int or value < 1):
            wrong.append(f"`{name}` ({what}), a whole number{_came(backbone, name)}")
    for name, least in COUNTS.items():
        value = getattr(backbone, name, least)
        if type(value) is not int or value < least:
            wrong.append(f"`{name}`, a whole number from {least} on{_came(backbone, name)}")
    for name in METHODS:
        if not callable(getattr(backbone, name, print)):
            wrong.append(f"`{name}`, a method{_came(backbone, name)}")
    if type(backbone).forward is nn.Module.forward:
        wrong.append("`forward(images)`, which gives vit.structures.Features")
    if wrong:
        name = type(backbone).__name__
        raise ValueError(f"{name} lacks, or has of another kind: {'; '.join(wrong)}")
    blocks = getattr(backbone, "blocks", None)
    in_order = blocks if isinstance(blocks, nn.ModuleList | nn.Sequential) else None
    depth = len(in_order) if in_order else max(len(list(backbone.children())), 1)
    by_default: dict[str, Any] = {
        "channels": given.get("channels", 0),
        "num_prefix": 0,
        "has_class_token": False,
        "has_stages": all(hasattr(backbone, stage) for stage in STAGES),
        "depth": depth,
        "grid": partial(divided, backbone),
        "flops": partial(counted_of_size, backbone),
        "depths": partial(block_depths, backbone, depth)
        if in_order
        else partial(depths_of_children, backbone),
        "shards": partial(list, in_order) if in_order else partial(containers_opened, backbone),
        "no_weight_decay": partial(vectors_and, backbone, ()),
        "embed": partial(_no_stage, backbone, "embed"),
        "encode": partial(_no_stage, backbone, "encode"),
    }
    _fill(backbone, by_default)
    return backbone


def require_stages(backbone: Any, needed_by: str) -> None:
    """Raises ValueError, by the backbone's name, where a model cannot work between its stages.

    `needed_by` says which, and what takes its place: "head=tokens; head=deformable does without".
    """
    if getattr(backbone, "has_stages", True):
        return
    name = getattr(backbone, "name", type(backbone).__name__)
    raise ValueError(
        f"this model works between the stages `embed` and `encode` "
        f"of {name!r}, which it does not have: wanted by {needed_by}. Or take backbone=vit."
    )


def complete_head(head: Any, backbone: Any, drives: bool) -> None:
    """Gives a head a default for what it does not tell; one that `drives` is given the backbone.

    Raises ValueError where it is no torch module.
    """
    if not isinstance(head, nn.Module) or type(head).forward is nn.Module.forward:
        raise ValueError(f"is a {type(head).__name__}; wanted a torch.nn.Module with a `forward`")
    counted = _driven_flops if drives else _flops_of_tokens
    by_default = {
        "no_weight_decay": partial(vectors_and, head, ()),
        "shards": list,
        "flops": partial(counted, head) if drives else partial(counted, head, backbone),
    }
    _fill(head, by_default)


def _fill(module: nn.Module, by_default: dict[str, Any]) -> None:
    for name, value in by_default.items():
        if not hasattr(module, name):
            setattr(module, name, value)


def _came(backbone: Any, name: str) -> str:
    return f", not {getattr(backbone, name)!r}"[:80] if hasattr(backbone, name) else ""


def divided(backbone: Any, height: int, width: int) -> Grid:
    """The patches of an image of this many pixels; ValueError where it does not divide."""
    size = backbone.patch_size
    if height < size or width < size or height % size or width % size:
        raise ValueError(
            f"image is {height}x{width} px; both sides must divide by patch_size={size}. "
            "Change data.image_size, or backbone.patch_size."
        )
    return Grid(height // size, width // size)


def depths_of_children(module: nn.Module) -> dict[str, int]:
    """How deep each parameter lies: its child's place among the module's children."""
    at = {name: place for place, (name, _) in enumerate(module.named_children())}
    return {name: at.get(name.partition(".")[0], 0) for name, _ in module.named_parameters()}


def containers_opened(module: nn.Module) -> list[nn.Module]:
    """The parts with parts of their own, those in lists and sequences one by one, in order.

    What is gathered one after another where weights are sharded: each is called as a whole, while a
    list is not, and a sequence need not be.
    """
    found: list[nn.Module] = []
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            found += containers_opened(child)
        elif any(child.children()) and any(True for _ in child.parameters()):
            found.append(child)
    return found


def counted(module: nn.Module, *inputs: Any) -> int:
    """Products of one forward pass, counted on the meta device."""
    weights = {
        name: tensor.to("meta")
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    }
    # The fused kernels are counted on some devices only, the plain one everywhere.
    counter, plainly = FlopCounterMode(display=False), sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), still_statistics(module), counter, plainly:
        functional_call(module, weights, inputs)
    return counter.get_total_flops()


def counted_of_size(backbone: Any, *size: int) -> int:
    """Of an image of that height and width, or of a text of so many tokens."""
    if len(size) == 2:
        return counted(backbone, torch.empty(1, backbone.channels, *size, device="meta"))
    return counted(backbone, torch.full((1, *size), UNKNOWN, device="meta"))


def _flops_of_tokens(head: nn.Module, backbone: Any, tokens: int) -> int:
    patches = torch.empty(1, tokens, backbone.dim, device="meta")
    prefix = torch.empty(1, getattr(backbone, "num_prefix", 0), backbone.dim, device="meta")
    return counted(head, Features(patches, Grid(1, tokens), prefix))


def _driven_flops(head: nn.Module, backbone: Any, height: int, width: int) -> int:
    images = torch.empty(1, backbone.channels, height, width, device="meta")
    return counted(_Driven(head, backbone), images)


class _Driven(nn.Module):
    """A head with the backbone that it drives, as one module."""

    def __init__(self, head: Any, backbone: Any):
        super().__init__()
        self.head, self.backbone = head, backbone

    def forward(self, images: Tensor) -> Any:
        return self.head(self.backbone, images, padding=None, objects=None)


def _no_stage(backbone: Any, stage: str, *_: Any, **__: Any) -> NoReturn:
    raise ValueError(
        f"this model works between the stages of its backbone and asked "
        f"{type(backbone).__name__} for `{stage}`, which it does not have. Give it one, or use "
        "backbone=vit."
    )


def features_fault(backbone: Any, example: Callable[[int], tuple[Tensor, ...]]) -> str | None:
    """What is wrong with what a backbone says of two inputs, by its shape; None if nothing."""
    inputs = example(2)[0]
    found = backbone(inputs)
    name = f"{type(backbone).__name__}.forward"
    if not isinstance(found, Features):
        size = f" {list(found.shape)}" if isinstance(found, Tensor) else ""
        return f"{name} gives a {type(found).__name__}{size}; wanted vit.structures.Features"
    pictures = inputs.ndim == 4
    wrong = []
    grid = found.grid
    whole = isinstance(grid, tuple) and len(grid) == 2 and all(type(n) is int for n in grid)
    if not whole:
        wrong.append(f"its grid is {grid!r}; wanted vit.structures.Grid(rows, cols)")
    elif pictures and tuple(grid) != (own := tuple(backbone.grid(*inputs.shape[-2:]))):
        wrong.append(f"its grid is {tuple(grid)}; with `patch_size` it is {own}")
    tokens = grid[0] * grid[1] if whole else "rows·cols"
    for part, count in (("patches", tokens), ("prefix", backbone.num_prefix)):
        values = getattr(found, part)
        shape: Any = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        if shape != [2, count, backbone.dim]:
            hint = " (`num_prefix` tells its tokens)" * (part == "prefix")
            wrong.append(f"its {part} is {shape}; wanted [2, {count}, {backbone.dim}]{hint}")
        elif not values.is_floating_point():
            wrong.append(f"its {part} is of {values.dtype}; wanted floats")
    return f"{name}: {'; '.join(wrong)}" if wrong else None


def declaration_fault(backbone: Any) -> str | None:
    """What is wrong with what a backbone says of its parameters; None if nothing."""
    own = {name for name, _ in backbone.named_parameters()}
    depths, still = backbone.depths(), backbone.no_weight_decay()
    if not isinstance(depths, dict) or set(depths) != own:
        return "`depths()` must give a whole number for each of its parameters, by name"
    if any(type(at) is not int or not 0 <= at <= backbone.depth + 1 for at in depths.values()):
        return f"`depths()` must give whole numbers from 0 to `depth` + 1, {backbone.depth + 1}"
    if not isinstance(still, set | frozenset) or not still <= own:
        return "`no_weight_decay()` must give a set of names of its parameters"
    return None
