"""What tasks share whose model is a Detector: its making, its masks, a loss to measure it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vit.facts import Facts
from vit.models.detector import Detector
from vit.models.heads.masks import MasksHead
from vit.structures import ClassMaps, Detections
from vit.tasks.heads import head_for
from vit.tasks.task import Task


def built_with(
    backbone: Any, head: Callable[..., Any], facts: Facts, task: str, such_as: str
) -> Detector:
    """The model; raises ValueError for a head of another task."""
    built = head_for(
        task,
        such_as,
        head,
        dim=backbone.dim,
        num_classes=facts.num_classes,
        patch_size=backbone.patch_size,
        depth=backbone.depth,
    )
    return Detector(backbone, built)


def tell_progress(task: Task) -> None:
    """Tells a head whose masks anneal how far the training is."""
    if isinstance(task.model.head, MasksHead):
        task.model.head.set_progress(task.global_step / task.total_steps)


def points_generator(task: Task, batch_idx: int, device: torch.device) -> torch.Generator:
    """Draws the points at which masks are compared: a function of seed, step and process."""
    place = (task.global_step, batch_idx, task.trainer.global_rank)
    seed = hash((task.seed, *place)) % 2**63  # of whole numbers, alike in every process
    return torch.Generator(device).manual_seed(seed)


def made_up_loss(output: Detections | ClassMaps) -> Tensor:
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
