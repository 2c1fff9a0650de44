"""Our detector beside Hugging Face's RF-DETR of the same size, and what its parts cost."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vit.bench.measure import Precision, Ratio, autocast, clock, interleaved, times_as_fast
from vit.bench.side_by_side import (
    BACKBONES,
    EXTRA,
    OURS,
    Conditions,
    ImageRow,
    evaluation_pass,
    paces,
    settle,
    training_step,
)
from vit.losses.detection import SetCriterion
from vit.models.backbone import ViT
from vit.models.detector import Detector
from vit.models.heads.deformable import DeformableHead
from vit.structures import Detections, Objects, Stage

THEIRS = "transformers"
PACKAGES = {OURS: "vit-experiments", THEIRS: THEIRS}


class Shape(NamedTuple):
    """What both build alike: class token, LayerScale, four blocks into the neck, no dropout.

    Every token of the backbone attends to all; theirs is built without its windows.
    """

    dim: int
    depth: int
    heads: int
    patch_size: int = 16
    image_size: int = 384  # pixels, square
    layers: int = 3
    queries: int = 300
    groups: int = 13  # in training; in evaluation there is one
    classes: int = 80
    width: int = 256
    hidden: int = 2048  # of the decoder's mlps
    objects: int = 50  # an image


SIZES = {name: Shape(*sizes) for name, sizes in BACKBONES.items()}


@dataclass(kw_only=True)
class Result(Conditions):
    """The rows of all works, and under which conditions they are true."""

    bench = "detectors"

    shape: Shape
    rows: list[ImageRow]  # a step's loss is that of matched queries
    losses_share: Ratio | None  # matching and losses, both ways, of our step; None without steps
    skipped: dict[str, str]  # library → the command that would install it


def compare(
    size: str = "s",
    *,
    shape: Shape | None = None,
    groups: int | None = None,
    works: Sequence[str] = ("forward", "step"),
    batch: int = 2,
    rounds: int = 10,
    threads: int = 1,
    device: str = "cpu",
    precision: Precision = "fp32",
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Measures our detector against RF-DETR of transformers, where that is installed.

    Changes this process for good, as `vit.bench.models.compare` does. `shape` replaces that of
    `size`, and `groups` the shape's own. Images, objects and weights are random, the first two
    the same for both. A forward pass runs in inference mode, a step in training mode with all
    groups and torch's fused AdamW; with bf16 the models run under autocast, and the losses as
    each library has them.
    """
    where = settle(threads, device)
    shape = shape or SIZES[size]
    shape = shape if groups is None else shape._replace(groups=groups)
    present = [OURS, *([THEIRS] if is_installed() else [])]
    torch.manual_seed(0)
    images = torch.randn(batch, 3, shape.image_size, shape.image_size, device=device)
    objects = made_up_objects(shape, batch).to(device)
    now = clock(device, threads)
    rows, share = [], None
    for work in works:
        contenders: dict[str, Callable[[], object]] = {}
        for name in present:
            torch.manual_seed(0)
            model = MAKERS[name](shape).to(device).train(work == "step")
            contenders[name] = _work(work, model, LOSSES[name], images, objects, precision)
            if work == "step" and name == OURS:
                contenders["losses"] = _losses_alone(model, images, objects, precision)
        seconds = interleaved(contenders, rounds, now, tell=tell)
        if work == "step":
            share = times_as_fast(seconds[OURS], seconds["losses"])
        packages = {name: PACKAGES[name] for name in present}
        rows += [ImageRow(work, *pace) for pace in paces(seconds, packages, batch)]
    return Result(
        size=size,
        shape=shape,
        batch=batch,
        rounds=rounds,
        precision=precision,
        rows=rows,
        losses_share=share,
        skipped={} if THEIRS in present else {THEIRS: f"pip install {EXTRA}"},
        **where,
    )


def is_installed() -> bool:
    """Whether transformers is; looks for it without importing it."""
    return importlib.util.find_spec("transformers") is not None


def made_up_objects(shape: Shape, batch: int) -> Objects:
    """Boxes of a twentieth to a half of the image's sides, wholly inside it."""
    count = batch * shape.objects
    sides = 0.05 + 0.45 * torch.rand(count, 2)
    centres = sides / 2 + (1 - sides) * torch.rand(count, 2)
    labels = torch.randint(shape.classes, (count,))
    return Objects(labels, torch.cat([centres, sides], dim=1), (shape.objects,) * batch)


def our_detector(shape: Shape) -> nn.Module:
    backbone = ViT(
        (shape.image_size, shape.image_size),
        3,
        dim=shape.dim,
        depth=shape.depth,
        heads=shape.heads,
        patch_size=shape.patch_size,
        class_token=True,
        layer_scale=1.0,
    )
    head = DeformableHead(
        shape.dim,
        shape.classes,
        shape.patch_size,
        shape.depth,
        width=shape.width,
        num_queries=shape.queries,
        num_layers=shape.layers,
        hidden=shape.hidden,
        groups=shape.groups,
    )
    return Detector(backbone, head)


def rf_detr(shape: Shape) -> nn.Module:
    """Theirs, with the settings that ours has."""
    from transformers import RfDetrConfig, RfDetrDinov2Config, RfDetrForObjectDetection

    ours = our_blocks(shape)
    backbone: dict[str, Any] = {  # their type hints leave out what the base class takes
        "hidden_size": shape.dim,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "image_size": shape.image_size,
        "patch_size": shape.patch_size,
        "num_windows": 1,
        "out_features": [f"stage{block + 1}" for block in ours],
        "attn_implementation": "sdpa",
    }
    head: dict[str, Any] = {
        "d_model": shape.width,
        "decoder_ffn_dim": shape.hidden,
        "decoder_layers": shape.layers,
        "decoder_n_points": 2,
        "num_queries": shape.queries,
        "group_detr": shape.groups,
        "num_labels": shape.classes,
        "dropout": 0.0,
        "attn_implementation": "sdpa",
    }
    return RfDetrForObjectDetection(
        RfDetrConfig(backbone_config=RfDetrDinov2Config(**backbone), **head)
    )


def our_blocks(shape: Shape) -> tuple[int, ...]:
    """The blocks that our neck looks at."""
    with torch.device("meta"):
        model: Any = our_detector(shape)
    return model.head.neck.blocks


MAKERS: dict[str, Callable[[Shape], nn.Module]] = {OURS: our_detector, THEIRS: rf_detr}

Loss = Callable[[nn.Module, Tensor, Objects, Precision], Tensor]


def _our_loss(model: nn.Module, images: Tensor, objects: Objects, precision: Precision) -> Tensor:
    with autocast(images.device, precision):
        detections = model(images)
    return CRITERION(detections, objects)["loss"]


def _their_loss(model: nn.Module, images: Tensor, objects: Objects, precision: Precision) -> Tensor:
    parts = zip(
        objects.labels.split(objects.counts),
        objects.boxes_cxcywh.split(objects.counts),
        strict=True,
    )
    labels = [{"class_labels": own, "boxes": boxes} for own, boxes in parts]
    with autocast(images.device, precision):
        return model(images, labels=labels).loss


CRITERION = SetCriterion()  # its loss, costs and weights are those of RF-DETR
LOSSES: dict[str, Loss] = {OURS: _our_loss, THEIRS: _their_loss}


def _work(
    work: str,
    model: nn.Module,
    loss: Loss,
    images: Tensor,
    objects: Objects,
    precision: Precision,
) -> Callable[[], object]:
    if work == "forward":
        return evaluation_pass(lambda: model(images), images.device, precision)

    def our_or_their_loss() -> Tensor:
        return loss(model, images, objects, precision)

    return training_step(model.parameters(), our_or_their_loss, weight_decay=1e-4)


def _losses_alone(
    model: nn.Module, images: Tensor, objects: Objects, precision: Precision
) -> Callable[[], object]:
    """Matching, losses and their gradients, back to what the model answered."""
    with torch.no_grad(), autocast(images.device, precision):
        answered: Detections = model(images)

    def run() -> None:
        stages = [
            Stage(_leaf(stage.logits), _leaf(stage.boxes_cxcywh)) for stage in answered.stages
        ]
        CRITERION(Detections(stages, answered.groups), objects)["loss"].backward()

    return run


def _leaf(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor.detach().requires_grad_()
