"""What every model of a backbone and a head tells of its parameters, and every stack of blocks."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from torch import nn


class BackboneHead(nn.Module):
    """A `backbone` and a `head`; what follows the backbone's last block lies at one depth."""

    def __init__(self, backbone: Any, head: Any):
        super().__init__()
        self.backbone: Any = backbone
        self.head: Any = head

    def depths(self) -> dict[str, int]:
        """For each parameter, how deep it lies; the head with what follows the last block."""
        depths = {f"backbone.{name}": at for name, at in self.backbone.depths().items()}
        last = deepest(self.backbone)
        return depths | {f"head.{name}": last for name, _ in self.head.named_parameters()}

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return self.backbone.shards()

    def no_weight_decay(self) -> set[str]:
        """The names of parameters that weight decay leaves alone."""
        return {f"backbone.{name}" for name in self.backbone.no_weight_decay()} | {
            f"head.{name}" for name in self.head.no_weight_decay()
        }


def deepest(backbone: Any) -> int:
    """How deep what follows a backbone lies: behind its blocks, with its last part."""
    return max(backbone.depth + 1, *backbone.depths().values(), 0)


def block_depths(stack: nn.Module, depth: int) -> dict[str, int]:
    """How deep each parameter lies: 0 the embeddings, 1…depth the `blocks`, then the `norm`."""
    depths = {}
    for name, _ in stack.named_parameters():
        first, _, rest = name.partition(".")
        inside = int(rest.partition(".")[0]) + 1 if first == "blocks" else 0
        depths[name] = depth + 1 if first == "norm" else inside
    return depths


def vectors_and(stack: nn.Module, learned: Container[str]) -> set[str]:
    """Biases, norms and gains, and the parts `learned` one by one: weight decay leaves them."""
    return {
        name
        for name, parameter in stack.named_parameters()
        if parameter.ndim < 2 or name.partition(".")[0] in learned
    }
