"""Tiny detectors with every head, for the tests of heads."""

from functools import partial

from torch import nn

from vit.models.backbone import ViT
from vit.models.detector import Detector
from vit.models.heads.boxrpb import BoxRpbHead
from vit.models.heads.deformable import DeformableHead
from vit.models.heads.detr import DetrHead
from vit.models.heads.tokens import TokensHead
from vit.models.necks import Pyramid

SMALL = {"width": 32, "num_queries": 6, "num_layers": 2, "heads": 4, "hidden": 48}
CLASSES = 5

HEADS = {
    "deformable": partial(DeformableHead, **SMALL, cross_heads=8),
    "deformable pyramid": partial(DeformableHead, **SMALL, cross_heads=8, neck=Pyramid),
    "boxrpb": partial(BoxRpbHead, **SMALL, bias_hidden=16),
    "boxrpb pyramid": partial(BoxRpbHead, **SMALL, bias_hidden=16, neck=Pyramid),
    "detr": partial(DetrHead, **SMALL),
    "tokens": partial(TokensHead, num_queries=6),
}
GROUPED = [name for name in HEADS if name.startswith(("deformable", "boxrpb"))]


def backbone(**switches):
    standard = {"dim": 16, "depth": 3, "heads": 2, "patch_size": 4, "class_token": True}
    return ViT((16, 24), 3, **standard | {"registers": 2} | switches)


def detector(name, body=None, **switches):
    body = backbone() if body is None else body
    head = HEADS[name](
        dim=body.dim,
        num_classes=CLASSES,
        patch_size=body.patch_size,
        depth=body.depth,
        **switches,
    )
    return Detector(body, head)


def randomised(model, std=0.2):
    """Every parameter random, also those that start at 0 or 1, so that each one shows."""
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=std)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model
