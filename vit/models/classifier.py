"""A backbone with a linear head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.linear import linear
from vit.layers.pool import MeanPool
from vit.models.backbone_head import BackboneHead
from vit.models.contract import complete_head
from vit.structures import Features


class Head(nn.Module):
    """Pools the features and gives one logit per class.

    Starts near uniform: weights of deviation 0.02, biases at `bias_init`. For a binary
    cross-entropy over many classes, -log(num_classes) starts from a small probability each.

    Args:
        pool: from the tokens to one vector.
        dropout: rate of that vector's channels left out, in training.
        bias_init: where the biases start.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        pool: Callable[..., nn.Module] = MeanPool,
        dropout: float = 0.0,
        bias_init: float = 0.0,
    ):
        super().__init__()
        self.pool: Any = pool(dim=dim)
        self.dropout = dropout
        self.linear = linear(dim, num_classes)
        nn.init.constant_(self.linear.bias, bias_init)

    def forward(self, features: Features) -> Float[Tensor, "batch classes"]:
        masked = () if features.mask is None else (features.mask,)
        x = self.pool(features.patches, features.prefix, *masked)
        if features.pooled_norm is not None:
            x = features.pooled_norm(x)
        if self.dropout:
            x = F.dropout(x, self.dropout, self.training)
        return self.linear(x)

    def flops(self, tokens: int) -> int:
        """Of one forward pass over the `tokens` patch tokens of one image."""
        return self.pool.flops(tokens) + 2 * self.linear.weight.numel()

    def no_weight_decay(self) -> set[str]:
        return {
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim < 2 or name == "pool.probe"
        }


class Classifier(BackboneHead):
    """From images to logits.

    Raises ValueError where the head pools a class token that the backbone does not have.
    """

    def __init__(self, backbone: Any, head: Any):
        complete_head(head, backbone, drives=False)
        pool = getattr(head, "pool", None)
        if getattr(pool, "needs_class_token", False) and not backbone.has_class_token:
            raise ValueError(
                "the head pools the class token and this backbone has none. "
                "Set backbone.class_token=true, or choose head/pool=mean."
            )
        super().__init__(backbone, head)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        return self.head(self.backbone(images))

    def flops(self, height: int, width: int) -> int:
        """Matrix products of one forward pass for one image; one multiply and add are two."""
        grid = self.backbone.grid(height, width)
        return self.backbone.flops(height, width) + self.head.flops(grid.rows * grid.cols)
