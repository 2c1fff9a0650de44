"""What the specs share whose model is a Detector: its making, a loss to measure it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vit.facts import Facts
from vit.models.contract import require_stages
from vit.models.detector import Detector
from vit.structures import ClassMaps, Detections
from vit.tasks.heads import build_head
from vit.tasks.spec import TaskSpec


def build_detector(
    spec: TaskSpec, backbone: Any, head: Callable[..., Any], facts: Facts
) -> Detector:
    """The model; raises ValueError for a head of another task, or of another kind of backbone."""
    if needed := getattr(head, "needs_stages", None):
        require_stages(backbone, needed)
    built = build_head(
        spec,
        head,
        dim=backbone.dim,
        num_classes=facts.num_classes,
        patch_size=backbone.patch_size,
        depth=backbone.depth,
    )
    return Detector(backbone, built)


def squared_answer(output: Detections | ClassMaps) -> Tensor:
    """A loss that reads all of an answer and knows nothing of the images."""
    if isinstance(output, ClassMaps):
        return output.logits.float().square().mean()
    parts = [
        part.float().square().mean()
        for stage in [*output.stages, *(output.denoised.stages if output.denoised else ())]
        for part in (stage.logits, stage.boxes_cxcywh, stage.masks)
        if part is not None
    ]
    return torch.stack(parts).sum()
