"""Adapters of low rank in the linear layers of a backbone that stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from vit.layers.attention import Attention
from vit.layers.lora import LoraLinear, merged_weight
from vit.tuning.freezing import Tuning, Untunable, backbone_of, freeze

Target = Literal["query", "key", "value", "proj", "mlp"]
TARGETS = ("query", "key", "value", "proj", "mlp")
# What the layers of a block make, by the last word of their names here, in timm and in HF.
MAKES: dict[str, tuple[str, ...]] = {
    "qkv": ("query", "key", "value"),
    "key_value": ("key", "value"),
    "kv": ("key", "value"),
    **dict.fromkeys(("query", "q", "q_proj"), ("query",)),
    **dict.fromkeys(("key", "k", "k_proj"), ("key",)),
    **dict.fromkeys(("value", "v", "v_proj"), ("value",)),
    **dict.fromkeys(("proj", "o_proj", "out_proj"), ("proj",)),
    **dict.fromkeys(("fc1", "fc2", "gate_value", "fc1_g", "fc1_x", "w12", "w3"), ("mlp",)),
}
TIMM_ATTENTION = "timm.layers.attention"  # whose fused matrices are queries, keys, values in turn
ADAPTERS = ("lora_a", "lora_b")  # the last words of their names


class Lora(Tuning):
    """Small trained matrices beside the linear layers of the backbone's blocks (LoRA).

    Written here and not taken from the package peft (0.21, November 2026): that adapts a fused
    matrix as a whole, where queries and values alone are meant, and gives every layer it touches
    other names, which checkpoints, layer decay and shards would then have to know.

    Args:
        rank: of each change; rank · (inputs + outputs) numbers are trained for each.
        alpha: the change counts alpha / rank.
        dropout: rate of what the adapters see left out, in training.
        targets: what the adapted layers make: query, key, value, proj (behind the attention), mlp.

    Source: Hu et al. 2021, arXiv:2106.09685.
    """

    def __init__(
        self,
        *,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: tuple[Target, ...] = ("query", "value"),
    ):
        if rank < 1:
            raise ValueError(f"tuning.rank={rank}; wanted 1 or more, such as 8.")
        if not alpha > 0:
            raise ValueError(f"tuning.alpha={alpha}; wanted more than 0, such as 16.")
        if not 0 <= dropout < 1:
            raise ValueError(f"tuning.dropout={dropout}; wanted a rate in [0, 1).")
        unknown = [each for each in targets if each not in TARGETS]
        if unknown or not targets or len({*targets}) < len(targets):
            raise ValueError(
                f"tuning.targets={list(targets)}; wanted some of {', '.join(TARGETS)}, each once."
            )
        self.rank, self.scale, self.dropout = rank, alpha / rank, dropout
        self.targets = targets

    def apply(self, model: nn.Module) -> None:
        backbone = backbone_of(model)
        depths = backbone.depths()  # 0 are the embeddings, whose layers may be called alike
        found = [
            (parent, name, layer, *adapted)
            for path, parent in list(backbone.named_modules())
            # torch's own attention reads the weights of its layers and never calls them.
            if not isinstance(parent, nn.MultiheadAttention)
            for name, layer in parent.named_children()
            if type(layer) is nn.Linear and (adapted := self._adapted(name)) is not None
            if depths[f"{path}.{name}.weight".lstrip(".")] > 0
        ]
        for parent, name, *_ in found:
            self._require_known_parts(parent, name)
        made = {part for _, name, *_ in found for part in MAKES[name]}
        if lacking := [target for target in self.targets if target not in made]:
            linear = {
                name.rpartition(".")[2]
                for name, layer in backbone.named_modules()
                if isinstance(layer, nn.Linear)
            }
            has = f"its linear layers are called {', '.join(sorted(linear))}" if linear else "none"
            raise Untunable(
                f"this backbone has no linear layer that makes {' or '.join(lacking)} "
                f"({has}). Choose other tuning.targets, or tuning=bias"
            )
        for _, _, layer, _, _ in found:
            if self.rank > min(layer.in_features, layer.out_features):
                least = min(layer.in_features, layer.out_features)
                raise Untunable(
                    f"rank={self.rank} is more than a layer of {layer.in_features} to "
                    f"{layer.out_features} has; wanted at most {least}"
                )
        for parent, name, layer, parts, of in found:
            adapter = LoraLinear(
                layer, parts, of, rank=self.rank, scale=self.scale, dropout=self.dropout
            )
            setattr(parent, name, adapter)
        freeze(model, lambda name: name.rpartition(".")[2] in ADAPTERS)

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        merged = {key: each for key, each in state.items() if _last(key) not in ADAPTERS}
        for key in state:
            inside, _, last = key.rpartition(".")
            adapted = self._adapted(_last(inside)) if last == "lora_a" else None
            if adapted is not None:
                weight, a, b = (state[f"{inside}.{each}"] for each in ("weight", *ADAPTERS))
                merged[f"{inside}.weight"] = merged_weight(weight, a, b, *adapted, self.scale)
        return merged

    def merge(self, model: nn.Module) -> None:
        for parent in list(model.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, LoraLinear):
                    setattr(parent, name, layer.plain())

    def _require_known_parts(self, parent: nn.Module, name: str) -> None:
        """Untunable where a part of a fused matrix is meant, and not known which rows that is."""
        whole = set(MAKES[name]) <= {*self.targets}
        known = isinstance(parent, Attention) or type(parent).__module__ == TIMM_ATTENTION
        if len(MAKES[name]) > 1 and not whole and not known:
            makes = ",".join(MAKES[name])
            raise Untunable(
                f"which rows of `{name}` in a {type(parent).__name__} make "
                f"{' and '.join(MAKES[name])} is not known here. Take tuning.targets=[{makes}]"
            )

    def _adapted(self, layer: str) -> tuple[tuple[int, ...], int] | None:
        """Which of a layer's parts are adapted, and how many it has; None where none is."""
        makes = MAKES.get(layer, ())
        parts = tuple(at for at, part in enumerate(makes) if part in self.targets)
        return (parts, len(makes)) if parts else None


@torch.no_grad()
def never_called(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    """The adapters that a forward pass goes around, since something reads the weights alone."""
    called: set[str] = set()
    adapters = {n: each for n, each in model.named_modules() if isinstance(each, LoraLinear)}
    hooks = [
        each.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, each in adapters.items()
    ]
    try:
        if adapters:
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [name for name in adapters if name not in called]


def require_called(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Raises Untunable where adapters would never be used; `inputs` are any of the model's."""
    if left := never_called(model, inputs):
        raise Untunable(
            f"{len(left)} of its layers are read and never called, {left[0]} first, so adapters "
            "beside them would do nothing. Choose other tuning.targets, or tuning=last_blocks"
        )


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def adapters_of(state: Mapping[str, Tensor], backbone: str = "backbone.") -> dict[str, Tensor]:
    """What a training with adapters has changed: these, and all that is no backbone."""
    return {
        key: each
        for key, each in state.items()
        if _last(key) in ADAPTERS or not key.startswith(backbone)
    }
