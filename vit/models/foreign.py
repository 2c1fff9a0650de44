"""Weights of other programs: which of a file's tensors are a backbone's, or why none are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vit.runs.checkpoint import misfit
from vit.runs.tensor_file import (
    BadTensorFile,
    bad_values,
    read_tensors,
    short,
    some,
    tensors_in,
)

# Where training scripts keep weights, the one to be taken first; and what wraps a model's names.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
WRAPPED = ("_orig_mod.", "module.")
EXPORTED = "backbone.model."  # in a file of `vit export`
# Fitted to the size and the channels of the images.
FITTED = ("pos_embed", "patch_embed.proj.weight")
ENOUGH = 0.5  # of a model's names behind one prefix: they are its weights


@dataclass
class Foreign:
    """What was taken of a file: `weights` as they are to be loaded, and all there is by name."""

    path: str
    weights: dict[str, Any]
    every: dict[str, Tensor]
    prefix: str = ""
    beside: list[str] = field(default_factory=list)  # names that are not taken
    classifier: tuple[str, ...] = ("head",)  # what the layers for the classes are called

    def remarks(self) -> list[str]:
        """What a person should know of the choice; nothing where the whole file was taken."""
        left = [*self.beside, *filter(self._is_head, self.weights)]
        if not left:
            return []
        behind = f" behind {self.prefix!r}" if self.prefix else ""
        return [
            f"backbone.checkpoint: taken{behind}, and {len(left):,} tensors of "
            f"{Path(self.path).name} left out: {some(left)}"
        ]

    def _is_head(self, name: str) -> bool:
        return name.startswith(tuple(f"{part}." for part in self.classifier))

    def why_not(self, model: str, wanted: Mapping[str, Tensor], raised: Exception) -> str:
        """Why they do not fit a model with the state `wanted`, and what to change."""
        start = f"{self.path!r} does not fit {model!r}"
        found = prefixes(self.every, wanted)
        for tried in ("", *WRAPPED):
            found.pop(self.prefix + tried, None)
        if found:
            words = [f"{short(name)!r} ({n} of {len(wanted)})" for name, n in found.most_common(4)]
            best = found.most_common(1)[0][0].removesuffix(".")
            return (
                f"{start}: its tensors are named with a prefix, {' or '.join(words)}. Take one by "
                f"+backbone.checkpoint_prefix={short(best)}"
            )
        own = dict(tensors_in(self.weights))
        fixed = {name: each for name, each in wanted.items() if name not in FITTED}
        same = {name: each for name, each in own.items() if name in fixed or name not in wanted}
        fault = misfit({n: t for n, t in same.items() if not self._is_head(n)}, fixed)
        what = fault or f"timm cannot bring its tensors into place ({short(str(raised))})"
        return (
            f"{start}: {what}. Change backbone.name to the architecture that they were trained "
            "with, or take another file"
        )


def read_foreign(path: str, prefix: str | None = None) -> Foreign:
    """The weights in a file, read safely.

    `prefix` is what stands before a backbone's names, parts of nested dicts joined by dots.
    Without it timm's rules hold: averages before other weights, what DDP and torch.compile put
    before a name is removed; and of a model that `vit export` wrote the backbone is taken.

    Raises ValueError where there is no such file, none that can be read, none with weights, or
    where they are no numbers.
    """
    try:
        content = read_tensors(Path(path))
    except BadTensorFile as error:
        raise ValueError(f"{path!r} {error}. Change backbone.checkpoint") from error
    every = dict(tensors_in(content))
    if not every or not isinstance(content, dict):
        held = f"it holds {_listed(content)}" if content else "it is empty"
        raise ValueError(f"{path!r} holds no weights: {held}. Change backbone.checkpoint")
    found = _behind(path, every, prefix) if prefix else _by_rule(path, content, every)
    if not dict(tensors_in(found.weights)):
        raise ValueError(
            f"{path!r} holds no weights under {found.prefix!r}, but {some(list(every))}. Set "
            "backbone.checkpoint_prefix to what stands before the backbone's names"
        )
    if fault := bad_values(dict(tensors_in(found.weights))):
        raise ValueError(f"{path!r} holds {fault}. Take another file as backbone.checkpoint")
    return found


def prefixes(every: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Counter[str]:
    """Behind which words many of the names wanted are found, and how many."""
    found: Counter[str] = Counter()
    for name in every:
        parts = name.split(".")
        for at in range(len(parts)):
            if ".".join(parts[at:]) in wanted:
                found["".join(f"{part}." for part in parts[:at])] += 1
    return Counter({name: n for name, n in found.items() if n >= ENOUGH * len(wanted)})


def _behind(path: str, every: dict[str, Tensor], prefix: str) -> Foreign:
    asked = prefix if prefix.endswith(".") else f"{prefix}."
    for start in ("", *(f"{wrapper}." for wrapper in WRAPPERS)):  # with its dict's name, or not
        full = start + asked
        weights = {n.removeprefix(full): t for n, t in every.items() if n.startswith(full)}
        if weights:
            alike = [n for n in every if n.startswith(start) and not n.startswith(full)]
            return Foreign(path, weights, every, full, alike)
    counted = Counter(name.partition(".")[0] for name in every)
    starts = ", ".join(f"{short(name)} ({n:,})" for name, n in counted.most_common(6))
    raise ValueError(
        f"no name of a tensor in {path!r} begins with {asked!r}; they begin with {starts}. "
        "Change backbone.checkpoint_prefix"
    )


def _by_rule(path: str, content: dict[Any, Any], every: dict[str, Tensor]) -> Foreign:
    chosen = next((key for key in WRAPPERS if content.get(key) is not None), None)
    inside = content if chosen is None else content[chosen]
    if not isinstance(inside, dict):
        inside = {}
    weights = {_unwrapped(str(name)): value for name, value in inside.items()}
    prefix = f"{chosen}." if chosen else ""
    ours = {n.removeprefix(EXPORTED): t for n, t in weights.items() if n.startswith(EXPORTED)}
    if ours:
        beside = [name for name in weights if not name.startswith(EXPORTED)]
        return Foreign(path, ours, every, prefix + EXPORTED, beside)
    beside = []
    if any(name.startswith("decoder") for name in weights):  # a masked autoencoder's other half
        beside = [n for n in weights if n.startswith("decoder") or n == "mask_token"]
    taken = {name: value for name, value in weights.items() if name not in beside}
    return Foreign(path, taken, every, prefix, beside)


def _unwrapped(name: str) -> str:
    for _ in WRAPPED:
        for word in WRAPPED:
            name = name.removeprefix(word)
    return name


def _listed(content: Any) -> str:
    if isinstance(content, dict):
        return some([str(key) for key in content])
    return f"a {type(content).__name__}"
