"""Tensors from elsewhere, put into a model where names and shapes fit, and told what did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vit.runs.tensor_file import some

MOST_NAMED = 3  # of tensors, beside their number
MOST_KEPT = 1_000  # names of each kind in a run's record


@dataclass(frozen=True)
class Placement:
    """What of some tensors a model takes, by name.

    `resized` are in both, with other shapes: they are neither taken nor counted elsewhere. `new`
    are the model's that keep the values it was made with.
    """

    taken: tuple[str, ...]
    resized: tuple[str, ...]  # such as `head.weight (10, 64) for (5, 64)`
    left_out: tuple[str, ...]
    new: tuple[str, ...]

    def summary(self) -> str:
        """`52 of 54 tensors taken; 2 of other shapes: head.weight (10, 64) for (5, 64), …`."""
        wanted = len(self.taken) + len(self.resized) + len(self.new)
        parts = [f"{len(self.taken):,} of {wanted:,} tensors taken"]
        for names, what in (
            (self.resized, "of other shapes, so newly made"),
            (self.new, "newly made, as it has none"),
            (self.left_out, "of its own left out"),
        ):
            if names:
                parts.append(f"{len(names):,} {what}: {some(list(names), MOST_NAMED)}")
        return "; ".join(parts)

    def to_plain(self) -> dict[str, Any]:
        """Numbers of each kind, and the names of all but those taken, for a record."""
        counts = {key: len(names) for key, names in asdict(self).items()}
        named = {
            f"{key}_names": list(names[:MOST_KEPT])
            for key, names in asdict(self).items()
            if key != "taken" and names
        }
        return {**counts, **named}


def placed(tensors: Mapping[str, Tensor], model: nn.Module) -> Placement:
    """What of these tensors fits the model, by name, shape and kind of number; puts none in.

    Only shapes and types are looked at: either may be on the meta device.
    """
    wanted = model.state_dict()
    both = [name for name in wanted if name in tensors]
    fits = {name for name in both if _alike(tensors[name], wanted[name])}
    return Placement(
        taken=tuple(name for name in both if name in fits),
        resized=tuple(
            f"{name} {tuple(tensors[name].shape)} for {tuple(wanted[name].shape)}"
            for name in both
            if name not in fits
        ),
        left_out=tuple(name for name in tensors if name not in wanted),
        new=tuple(name for name in wanted if name not in tensors),
    )


@torch.no_grad()
def put(tensors: Mapping[str, Tensor], model: nn.Module) -> Placement:
    """Puts what fits into the model, in the model's own type and on its device."""
    placement = placed(tensors, model)
    model.load_state_dict({name: tensors[name] for name in placement.taken}, strict=False)
    return placement


def _alike(given: Tensor, wanted: Tensor) -> bool:
    """Whether one may be copied into the other without loss of meaning."""
    same = given.shape == wanted.shape
    return same and given.is_floating_point() == wanted.is_floating_point()
