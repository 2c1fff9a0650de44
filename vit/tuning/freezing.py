"""Training a part of a model, while the rest stays exactly as it is.

What is frozen has no gradient, and so no state in the optimizer, no weight decay and no part in an
average of weights; its modules stay in evaluation mode, so that they drop nothing (drop path,
dropout) and batch norms keep their statistics. The head, and all else that is no backbone, is
always trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
        """Makes a model so tuned, in place, what it would be by that name without; same function.

        Weights that were frozen stay so.
        """
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
        if self.blocks > backbone.depth:
            raise Untunable(
                f"blocks={self.blocks}, and this backbone has {backbone.depth}; wanted "
                f"1 to {backbone.depth}, or tuning=full for all of it with its embeddings"
            )
        depths = backbone.depths()
        first = backbone.depth - self.blocks  # of the frozen depths, of which 0 are the embeddings
        freeze(model, lambda name: depths[name] > first)


def backbone_of(model: nn.Module) -> Any:
    """The part of a model that tuning is about; Untunable where there is none."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        name = type(model).__name__
        raise Untunable(f"{name} has no `backbone`. Take tuning=full")
    return backbone


def freeze(model: nn.Module, is_trained: Callable[[str], bool]) -> int:
    """Freezes all of a model's backbone but the parameters named; how many of these there are.

    Names are the backbone's own. Raises Untunable where the whole model would stand still.
    """
    trained = 0
    for name, parameter in backbone_of(model).named_parameters():
        parameter.requires_grad_(parameter.requires_grad and is_trained(name))
        trained += parameter.requires_grad
    if not any(each.requires_grad for each in model.parameters()):
        raise Untunable(
            "nothing would be trained, since this head has no weights of its own. "
            "Take tuning=full, or another head"
        )
    for module in backbone_of(model).modules():
        # Of a batch norm the weight decides: where biases alone are trained, its statistics stay.
        own = [module.weight] if isinstance(module, _BatchNorm) else [*module.parameters()]
        if own and not any(each is not None and each.requires_grad for each in own):
            module.stays_still = True
    keep_still(model)
    return trained


def keep_still(model: nn.Module) -> None:
    """Puts what is frozen into evaluation mode again, after its model was put into training's."""
    for module in model.modules():
        if getattr(module, "stays_still", False):
            module.eval()


def trained_parameters(model: nn.Module) -> int:
    """How many numbers of a model are trained."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
