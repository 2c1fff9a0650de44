"""Their models as our backbone with the same function, and its weights by their names again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vit.models.pretrained.origin import Origin, Unfit, keys_of
from vit.models.pretrained.rules import Rule, back, there
from vit.models.pretrained.timm_names import BESIDE as TIMM_BESIDE
from vit.models.pretrained.timm_names import timm_origin, timm_rules
from vit.runs.tensor_file import some


@dataclass
class Converted:
    """Weights by our names, the keys of the backbone that they are of, and what was left out."""

    state: dict[str, Tensor]
    keys: dict[str, Any]
    origin: Origin
    left_out: list[str] = field(default_factory=list)
    sha256: str = ""  # of the file


def converted(
    state: Mapping[str, Tensor], rules: Sequence[Rule], origin: Origin, beside: tuple[str, ...]
) -> Converted:
    """Their tensors as ours; Unfit for one that our backbone has no place for.

    `beside` begin the names of what is no backbone's: heads, and what can be computed again.
    """
    ours, left = there(state, rules, origin)
    foreign = [name for name in left if not name.startswith(beside)]
    if foreign:
        raise Unfit(
            f"{origin.source} has {len(foreign)} tensors that our backbone has no place for: "
            f"{some(foreign)}"
        )
    return Converted(ours, keys_of(ours, origin), origin, left)


def timm_converted(model_or_state: Any, name: str = "") -> Converted:
    """A model of timm, or the tensors of one whose `name` timm knows."""
    if isinstance(model_or_state, Mapping):
        state, model = model_or_state, timm_outline(name)
    else:
        state, model = model_or_state.state_dict(), model_or_state
    origin = timm_origin(model, f"timm:{name or type(model).__name__}")
    return converted(state, timm_rules(origin), origin, TIMM_BESIDE)


def timm_outline(name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """timm's model without any values, which tells what no tensor does."""
    import timm

    from vit.models.timm_models import check_name

    check_name(name)
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, **(arguments or {}))


def timm_state(backbone: Any, model_or_name: Any) -> dict[str, Tensor]:
    """Weights of ours by timm's names, for the model of timm's that they are of, without a head."""
    outline = timm_outline(model_or_name) if isinstance(model_or_name, str) else model_or_name
    origin = timm_origin(outline, "timm's model")
    theirs, left = back(backbone.state_dict(), timm_rules(origin), origin)
    wanted = {n for n in outline.state_dict() if not n.startswith((*TIMM_BESIDE,))}
    theirs = {name: tensor for name, tensor in theirs.items() if name in wanted}
    if left or theirs.keys() != wanted:
        raise Unfit(f"timm's model is another: {some([*left, *sorted(wanted - theirs.keys())])}")
    return theirs
