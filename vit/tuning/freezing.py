"""Training a part of a model, while the rest stays exactly as it is.

What is frozen has no gradient, and so no state in the optimizer, no weight decay and no part in an
average of weights; its modules stay in evaluation mode, so that they drop nothing (drop path,
dropout) and batch norms keep their statistics. The head, and all else that is no backbone, is
always trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

M = TypeVar("M", bound=nn.Module)


class Untunable(ValueError):
    """A model of which that part cannot be trained alone."""


class Tuning(ABC):
    """Says what of a model's backbone is trained.

    The model has its backbone as `backbone`, as all of vit's have.
    """

    @abstractmethod
    def apply(self, model: nn.Module) -> None:
        """Freezes the rest, in place; the model may be on the meta device.

        Raises Untunable where it is not made for this model, or nothing would be trained.
        """

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a model so tuned, by the names and shapes of one that was not."""
        return dict(state)

    def merge(self, model: nn.Module) -> None:
        """Puts adapters, where there are some, into the weights that they change, in place."""
        return


class Head(Tuning):
    """Nothing of the backbone: a head on features that stay as they are."""

    def apply(self, model: nn.Module) -> None:
        freeze(model, lambda name: False)


class Bias(Tuning):
    """The backbone's biases, those of its norms among them.

    Source: Ben Zaken et al. 2021, arXiv:2106.10199 (BitFit).
    """

    def apply(self, model: nn.Module) -> None:
        found = freeze(model, lambda name: name.rpartition(".")[2].endswith("bias"))
        if not found:
            raise Untunable("this backbone has no biases to train. Take tuning=head or tuning=lora")


class LastBlocks(Tuning):
    """The last blocks of the backbone, with what follows them.

    Args:
        blocks: how many, from 1 to the backbone's depth.
    """

    def __init__(self, *, blocks: int = 1):
        if blocks < 1:
            raise ValueError(f"tuning.blocks={blocks}; wanted 1 or more, or tuning=head for none.")
        self.blocks = blocks

    def apply(self, model: nn.Module) -> None:
        backbone = backbone_of(model)
        new = newly_made(backbone)
        depths = {name: at for name, at in backbone.depths().items() if name not in new}
        deepest = max(depths.values(), default=0)
        # A stack of blocks has them at 1…depth, and its last norm behind; anything else has its
        # parts in order, the last of them deepest.
        top = backbone.depth if deepest - backbone.depth in (0, 1) else deepest
        if self.blocks > top:
            raise Untunable(
                f"blocks={self.blocks}, and this backbone has {top}; wanted "
                f"1 to {top}, or tuning=full for all of it with its embeddings"
            )
        first = top - self.blocks  # of the frozen depths, of which 0 are the embeddings
        if not freeze(model, lambda name: depths.get(name, 0) > first):
            raise Untunable(
                f"blocks={self.blocks}: nothing lies so late in this backbone. Take tuning=head, "
                "or more blocks"
            )


def backbone_of(model: nn.Module) -> Any:
    """The part of a model that tuning is about; Untunable where there is none."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        name = type(model).__name__
        raise Untunable(f"{name} has no `backbone`. Take tuning=full")
    return backbone


def newly_made(backbone: nn.Module) -> set[str]:
    """The parameters of parts that weights to start from never bring, as the parts say."""
    return {
        f"{path}.{name}"
        for path, part in backbone.named_modules()
        if getattr(part, "newly_made", False)
        for name, _ in part.named_parameters()
    }


def freeze(model: nn.Module, is_trained: Callable[[str], bool]) -> int:
    """Freezes all of a model's backbone but the parameters named; how many of these there are.

    Names are the backbone's own; parts that are newly made learn all the same. Raises Untunable
    where the whole model would stand still.
    """
    trained, new = 0, newly_made(backbone_of(model))
    for name, parameter in backbone_of(model).named_parameters():
        wanted = parameter.requires_grad and is_trained(name)
        parameter.requires_grad_(wanted or (parameter.requires_grad and name in new))
        trained += wanted
    if not any(each.requires_grad for each in model.parameters()):
        raise Untunable(
            "nothing would be trained, since this head has no weights of its own. "
            "Take tuning=full, or another head"
        )
    for module in backbone_of(model).modules():
        # Of a batch norm the weight decides: where biases alone are trained, its statistics stay.
        own = [module.weight] if isinstance(module, _BatchNorm) else [*module.parameters()]
        trains = any(each is not None and each.requires_grad for each in own)
        module.stays_still = bool(own) and not trains
    keep_still(model)
    return trained


def thaw(model: nn.Module) -> None:
    """Leaves nothing frozen: every parameter may have a gradient again, every module be trained."""
    model.requires_grad_(True)
    module: Any
    for module in model.modules():
        module.stays_still = False


def keep_still(model: M) -> M:
    """Puts what is frozen into evaluation mode again, after its model was put into training's."""
    for module in model.modules():
        if getattr(module, "stays_still", False):
            module.eval()
    return model


def trained_parameters(model: nn.Module) -> int:
    """How many numbers of a model are trained."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
