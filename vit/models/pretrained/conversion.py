"""Their models as our backbone with the same function, and its weights by their names again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vit.faults import did_you_mean
from vit.models.pretrained.hf_names import BESIDE as HF_BESIDE
from vit.models.pretrained.hf_names import hf_origin, hf_rules, modern
from vit.models.pretrained.origin import Origin, Unfit, keys_of
from vit.models.pretrained.rules import Rule, back, there
from vit.models.pretrained.timm_names import BESIDE as TIMM_BESIDE
from vit.models.pretrained.timm_names import timm_origin, timm_rules
from vit.models.pretrained.torchvision_names import BESIDE as TORCHVISION_BESIDE
from vit.models.pretrained.torchvision_names import torchvision_origin, torchvision_rules
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
    ours = {name: tensor for name, tensor in ours.items() if tensor.numel()}  # no registers
    return Converted(ours, keys_of(ours, origin), origin, left)


def timm_outline(name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """timm's model without any values, which tells what no tensor does."""
    import timm

    from vit.models.timm_models import check_name

    check_name(name)
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, **(arguments or {}))


def torchvision_outline(name: str) -> Any:
    """torchvision's model without any values."""
    from torchvision.models import get_model, list_models

    if name not in list_models():
        known = [each for each in list_models() if each.startswith("vit_")]
        raise Unfit(f"torchvision has no model {name!r}.{did_you_mean(name, known)}")
    with torch.device("meta"):
        return get_model(name)


@dataclass(frozen=True)
class Library:
    """One whose models are known by a name, and told apart by what they are built of."""

    name: str
    outline: Callable[[str], Any]  # a model by its name, without values
    origin: Callable[[Any, str], Origin]  # of a model, and what to call it
    rules: Callable[[Origin], list[Rule]]
    beside: tuple[str, ...]

    def converted(self, model_or_state: Any, name: str = "") -> Converted:
        """One of its models, or the tensors of one whose `name` it knows."""
        if isinstance(model_or_state, Mapping):
            state, model = model_or_state, self.outline(name)
        else:
            state, model = model_or_state.state_dict(), model_or_state
        origin = self.origin(model, f"{self.name}:{name or type(model).__name__}")
        return converted(state, self.rules(origin), origin, self.beside)

    def state_of(self, backbone: Any, model_or_name: Any) -> dict[str, Tensor]:
        """Weights of ours by its names, for the model of it that they are of, without a head."""
        named = isinstance(model_or_name, str)
        outline = self.outline(model_or_name) if named else model_or_name
        origin = self.origin(outline, f"{self.name}'s model")
        return _returned(backbone, self.rules(origin), origin, outline, self.beside)


TIMM = Library("timm", timm_outline, timm_origin, timm_rules, TIMM_BESIDE)
TORCHVISION = Library(
    "torchvision",
    torchvision_outline,
    torchvision_origin,
    torchvision_rules,
    TORCHVISION_BESIDE,
)


def hf_converted(
    model_or_state: Any, config: Mapping[str, Any] | None = None, name: str = ""
) -> Converted:
    """A vision transformer of transformers', or the tensors of one with its `config.json`.

    Of a model of texts and images, or of one with a head, the vision tower is taken.
    """
    if isinstance(model_or_state, Mapping):
        state, plain = dict(model_or_state), tower_config(config or {})
    else:
        tower = hf_tower(model_or_state)
        state, plain = tower.state_dict(), tower.config.to_dict()
    kind = str(plain.get("model_type"))
    origin = hf_origin(plain, f"hf:{name or kind}")
    state = {modern(key, kind): tensor for key, tensor in state.items()}
    return converted(state, hf_rules(origin, kind), origin, HF_BESIDE)


def hf_tower(model: Any) -> Any:
    """The bare vision transformer inside of a model of transformers'."""
    for name in ("vision_model", "vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit"):
        if hasattr(model, name):
            return hf_tower(getattr(model, name))
    return model


def tower_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a config with a vision tower's inside that one's."""
    inner = config.get("vision_config")
    return inner if isinstance(inner, Mapping) else config


def hf_state(backbone: Any, model: Any) -> dict[str, Tensor]:
    """Weights of ours by the names of transformers' vision transformer `model`."""
    plain = model.config.to_dict()
    origin = hf_origin(plain, "transformers' model")
    rules = hf_rules(origin, str(plain.get("model_type")))
    return _returned(backbone, rules, origin, model, HF_BESIDE)


def _returned(
    backbone: Any, rules: Sequence[Rule], origin: Origin, outline: Any, beside: tuple[str, ...]
) -> dict[str, Tensor]:
    wanted = {
        name: each for name, each in outline.state_dict().items() if not name.startswith(beside)
    }
    # Only names that this model has: a tensor of ours for which it has none is not to get lost.
    known = [rule for rule in rules if all(n.replace("{}", "0") in wanted for n in rule.theirs)]
    theirs, left = back(backbone.state_dict(), known, origin)
    theirs = {name: tensor for name, tensor in theirs.items() if name in wanted}
    theirs |= {name: each for name, each in wanted.items() if not each.numel()}
    lacking = sorted(wanted.keys() - theirs.keys())
    other = sorted(n for n, tensor in theirs.items() if tensor.shape != wanted[n].shape)
    if wrong := [*left, *lacking, *other]:
        raise Unfit(f"these are not the weights of {origin.source}: {some(wrong)}")
    return theirs
