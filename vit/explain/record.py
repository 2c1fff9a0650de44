"""Attention probabilities of a forward pass, recorded on request; training never comes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.deformable import DeformableAttention
from vit.layers.parts import AttentionPart


@dataclass
class Look:
    """The weights of one attention, in a graph where gradients are on.

    `cross` tells that queries looked at a context and not at one another.
    """

    name: str
    cross: bool
    weights: Float[Tensor, "batch heads queries keys"]

    @property
    def of_backbone(self) -> bool:
        return self.name.startswith("backbone.")


@dataclass
class Sampling:
    """Where the queries of one deformable attention read; (x, y) in fractions of the image."""

    name: str
    places: Float[Tensor, "batch queries heads levels points 2"]
    weights: Float[Tensor, "batch queries heads levels points"]


@dataclass
class Recording:
    """What was recorded, in the order of the computation."""

    looks: list[Look] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)

    @property
    def backbone(self) -> list[Look]:
        return [look for look in self.looks if look.of_backbone]

    @property
    def cross(self) -> list[Look]:
        return [look for look in self.looks if look.cross]


@contextmanager
def recorded(model: nn.Module) -> Iterator[Recording]:
    """Records every attention of the model while the context lasts; put it in evaluation first.

    What has the methods of an `AttentionPart` answers by its `with_weights` meanwhile, with the
    same numbers to 1e-5 in float32, whoever calls it: a backbone, or a head that drives its stages.
    What is inside of such a part is the part's own affair. timm's attentions are known by their
    `fused_attn`. Hooks do it, which are gone afterwards: a model that nobody records has none.

    Raises ValueError where the model is in training, or has no attention, and in a pass with a
    memory.
    """
    if model.training:
        raise ValueError("the model is in training mode; call model.eval() before recording.")
    recording = Recording()
    undo: list[Callable[[], object]] = []
    above: tuple[str, ...] = ()  # the names of parts, with which those inside of them start
    for name, module in model.named_modules():
        is_attention = isinstance(module, AttentionPart)
        if name.startswith(above):
            continue
        if is_attention:
            above += (f"{name}." if name else "",)
            after = partial(_attended, name, recording)
            undo.append(module.register_forward_hook(after, with_kwargs=True).remove)
        elif isinstance(module, DeformableAttention):
            before = partial(_sampled, name, recording)
            undo.append(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        elif hasattr(module, "fused_attn") and isinstance(
            getattr(module, "attn_drop", None), nn.Module
        ):
            undo += _record_timm(module, name, recording)
    if not undo:
        raise ValueError(
            "the model has no attention that could be recorded: none of vit's or timm's, and no "
            "part with `with_weights` and `flops`, as vit.layers.parts.AttentionPart has them."
        )
    try:
        yield recording
    finally:
        for each in undo:
            each()


def _attended(
    name: str,
    recording: Recording,
    module: Any,
    given: tuple[Any, ...],
    named: dict[str, Any],
    _: Tensor,
) -> Tensor:
    """Puts the explicit path's answer in the place of the fused one's."""
    arguments = {**dict(zip(("x", "context"), given, strict=False)), **named}
    if arguments.get("memory") is not None:
        # It holds the keys of this pass by now, and would be given them twice.
        raise ValueError("attention is recorded in whole passes; call the model without a memory.")
    out, weights = module.with_weights(*given, **named)
    recording.looks.append(Look(name, arguments.get("context") is not None, weights))
    return out


def _sampled(
    name: str, recording: Recording, module: nn.Module, given: tuple[Any, ...], named: dict
) -> None:
    assert isinstance(module, DeformableAttention)
    wanted = ("x", "tokens", "grids", "boxes_cxcywh", "valid")
    arguments = {**dict(zip(wanted, given, strict=False)), **named}
    position = arguments.get("position")
    x = arguments["x"] if position is None else arguments["x"] + position
    recording.samplings.append(Sampling(name, *module.looks(x, arguments["boxes_cxcywh"])))


def _record_timm(module: Any, name: str, recording: Recording) -> list[Callable[[], object]]:
    """timm drops weights out by a module of its own, on its plain path alone."""

    def keep(_: nn.Module, __: Any, weights: Tensor) -> None:
        recording.looks.append(Look(name, False, weights))

    was = module.fused_attn
    module.fused_attn = False
    handle = module.attn_drop.register_forward_hook(keep)
    return [handle.remove, partial(setattr, module, "fused_attn", was)]
