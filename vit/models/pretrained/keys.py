"""A config's backbone and the weights that it names: the keys that follow, and those against it."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from vit.faults import Fault
from vit.models.backbone import ViT
from vit.models.pretrained.conversion import Converted
from vit.models.pretrained.sources import read_source
from vit.models.pretrained.starting import summary

# Of parts, what may be chosen though the weights say another: no tensor depends on it.
FREE = {"resize", "shift", "jitter", "rescale", "eps", "dropout", "start"}
ALIKE = 0.01  # of means and deviations, which are about 0.5 and 0.2
PARTS = ("patch", "position", "norm", "mlp", "attention")


@functools.lru_cache(maxsize=8)
def _outline(weights: str) -> Converted:
    """The weights without their values, which are many."""
    with torch.device("cpu"):
        found = read_source(weights)
    state = {name: tensor.to("meta") for name, tensor in found.state.items()}
    return replace(found, state=state)


def source_keys(weights: str) -> tuple[dict[str, Any], list[str]]:
    """The keys of the architecture of such weights, and those of them that were guessed."""
    found = _outline(weights)
    return dict(found.keys), [each.partition("=")[0] for each in found.origin.assumed]


def stamped(backbone: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's stamp keeps of the weights that its backbone names; `facts` of its images."""
    height, width = facts["image_size"]
    position = backbone["position"]
    resize = position.get("added", position).get("resize")
    return summary(_outline(backbone["weights"]), (height, width), facts["channels"], resize)


def other_normalisation(weights: str, mean: Iterable[float], std: Iterable[float]) -> str | None:
    """A warning where images are normalised otherwise than those the weights have seen."""
    origin = _outline(weights).origin
    for name, seen, given in (("mean", origin.mean, mean), ("std", origin.std, std)):
        wanted, values = [float(each) for each in seen], [float(each) for each in given]
        if len(wanted) != len(values) or max(map(_apart, wanted, values), default=0.0) <= ALIKE:
            continue  # of other channels, or nothing is known
        shown = [round(each, 4) for each in wanted]
        return (
            f"data.{name} is {[round(each, 4) for each in values]}, and these weights have seen "
            f"images of {shown}: data.{name}={str(shown).replace(' ', '')} normalises as there"
        )
    return None


def _apart(one: float, other: float) -> float:
    return abs(one - other)


def contradictions(
    backbone: Mapping[str, Any],
    keys: Mapping[str, Any],
    named: Iterable[str],
) -> list[Fault]:
    """A fault for each key that is said and is not that of the weights.

    `named` are the keys that the command sets, by their place below `backbone`; whatever is not
    the default of a backbone counts, too.
    """
    named, faults = set(named), []
    for key, own in keys.items():
        if key == "_target_" or key not in backbone:
            continue
        value = backbone[key]
        if key in PARTS:
            message = _against(value, own, key in named or not _is_default(key, value))
        elif _same(key, value, own) or (key not in named and value == DEFAULTS.get(key)):
            message = None
        else:
            message = f"is {value!r}; these weights have {own!r}"
        if message:
            advice = "Leave it out, or take other weights as backbone.weights"
            faults.append(Fault(f"backbone.{key}", f"{message}. {advice}"))
    return faults


def merged(
    backbone: Mapping[str, Any], keys: Mapping[str, Any], named: Iterable[str] = ()
) -> dict[str, Any]:
    """The backbone with the keys of the weights, and what was said that these leave free."""
    result = copy.deepcopy({**backbone, **keys})
    for each in named:
        part, _, inner = each.partition(".")
        word = inner.rpartition(".")[2]
        said = _at(backbone, each)
        if part in PARTS and word in FREE and said is not None:
            _put(result[part], word, said)
    return result


def _at(node: Any, place: str) -> Any:
    for word in place.split("."):
        node = node.get(word) if isinstance(node, Mapping) else None
    return node


def _put(node: dict[str, Any], word: str, value: Any) -> None:
    """Into the part, or those inside of it, that has such a key already."""
    if word in node:
        node[word] = value
    for inner in node.values():
        if isinstance(inner, dict):
            _put(inner, word, value)


def _same(key: str, value: Any, own: Any) -> bool:
    if key == "layer_scale":  # where it starts is of no account
        return (value is None) == (own is None)
    return value == own


def _is_default(key: str, value: Any) -> bool:
    standard = DEFAULTS.get(key)
    home = f"{getattr(standard, '__module__', '')}.{getattr(standard, '__name__', '')}"
    return isinstance(value, Mapping) and value.get("_target_") == home


def _against(value: Any, own: Mapping[str, Any], is_said: bool) -> str | None:
    """How a part that was said is another than that of the weights."""
    if not isinstance(value, Mapping) or not is_said:
        return None
    if value.get("_target_") != own["_target_"]:
        return f"is {_short(value.get('_target_'))}; these weights have {_short(own['_target_'])}"
    wrong = [
        f"{key}={each!r} where these weights have {own[key]!r}"
        for key, each in value.items()
        if key in own and key not in FREE and not isinstance(each, Mapping) and each != own[key]
    ]
    return f"has {', '.join(wrong)}" if wrong else None


def _short(target: object) -> str:
    return str(target).rpartition(".")[2]


DEFAULTS = {
    name: each.default
    for name, each in inspect.signature(ViT.__init__).parameters.items()
    if each.kind is each.KEYWORD_ONLY
}
