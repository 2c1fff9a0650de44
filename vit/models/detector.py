"""A backbone with a head for detection or segmentation."""

from __future__ import annotations

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit.models.backbone import ViT
from vit.models.backbone_head import BackboneHead
from vit.models.contract import complete_head
from vit.structures import ClassMaps, Detections, Objects


class Detector(BackboneHead):
    """From images to detections, or to maps of classes.

    The head drives the backbone (see `vit.models.heads`). Raises ValueError for a backbone that
    drops patches in training, as objects would go with them.
    """

    def __init__(self, backbone: Any, head: Any):
        if isinstance(backbone, ViT) and backbone.patch_dropout:
            raise ValueError(
                f"backbone.patch_dropout={backbone.patch_dropout} would drop the patches that "
                "objects lie on. Set it to 0 for detection."
            )
        complete_head(head, backbone, drives=True)
        super().__init__(backbone, head)

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        padding: Bool[Tensor, "batch height width"] | None = None,
        objects: Objects | None = None,
    ) -> Detections | ClassMaps:
        """`padding` is true at pixels that were filled up; `objects` are for training alone."""
        return self.head(self.backbone, images, padding=padding, objects=objects)

    def flops(self, height: int, width: int) -> int:
        """Matrix products of one forward pass for one image; one multiply and add are two.

        A head with groups of queries counts all of them while it is in training mode.
        """
        return self.head.flops(self.backbone, height, width)

    def shards(self) -> list[nn.Module]:
        """The parts that are gathered one after another where the weights are sharded."""
        return [*self.backbone.shards(), *self.head.shards()]
