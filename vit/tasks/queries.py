"""What tasks share whose model is a Detector: how far its masks are, where they are compared."""

from __future__ import annotations

import torch

from vit.models.heads.masks import MasksHead
from vit.tasks.task import Task, recipe_steps


def tell_progress(task: Task) -> None:
    """Tells a head whose masks anneal how far the training is."""
    if isinstance(task.model.head, MasksHead):
        task.model.head.set_progress(min(task.global_step / recipe_steps(task), 1.0))


def points_generator(task: Task, batch_idx: int, device: torch.device) -> torch.Generator:
    """Draws the points at which masks are compared: a function of seed, step and process."""
    place = (task.global_step, batch_idx, task.trainer.global_rank)
    seed = hash((task.seed, *place)) % 2**63  # of whole numbers, alike in every process
    return torch.Generator(device).manual_seed(seed)
