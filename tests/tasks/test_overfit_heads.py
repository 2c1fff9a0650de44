"""Each detection head learns eight images by heart: `python tests/tasks/test_overfit_heads.py`.

Prints the steps that each took to an AP50 of 0.9, or to such an mIoU where masks are of classes;
none is promised to learn from so little what new images show.
"""

import sys
from typing import Any

import pytest
import torch

from vit.cli.compose import compose
from vit.data.core.sampling import Key
from vit.metrics.detection import DetectionMetrics
from vit.structures import DetectionBatch
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.postprocess import postprocess
from vit.tasks.segmentation import objects_of

COMMON = [
    "data.train_scenes=8",
    "data.val_scenes=8",
    "data.test_scenes=8",
    "backbone.dim=64",
    "backbone.depth=3",
    "backbone.heads=4",
    "backbone.patch_size=8",
    "backbone/patch=stem",
]
OBJECTS = ["data=digit_scenes", "task=detection"]
DECODER = ["head.width=64", "head.hidden=128", "head.heads=4", "head.num_queries=20"]
QUERIES = ["head.num_queries=20", "head.joint_blocks=2", "task.num_points=1024"]
DEFORMABLE = [*OBJECTS, *DECODER, "head.cross_heads=4", "head.neck.num_blocks=3"]
HEADS = {
    "deformable": DEFORMABLE,
    "deformable, denoising": [*DEFORMABLE, "head/denoising=contrastive"],
    "boxrpb": [
        *OBJECTS,
        *DECODER,
        "head.num_layers=3",
        "head.bias_hidden=64",
        "head.neck.num_blocks=3",
    ],
    "detr": [*OBJECTS, *DECODER, "head.num_layers=3", "task.cost_class=1"],
    "tokens": [*OBJECTS, "head.num_queries=20", "task.cost_class=1"],
    "masks": [*OBJECTS, *QUERIES, "data.masks=true", "task.weight_class=2"],
    "masks, by class": ["data=digit_scenes_semantic", "task=segmentation", *QUERIES],
}
WANTED, EVERY, MOST = 0.9, 50, 4000


def steps_to_learn(head: str, seed: int = 0) -> tuple[int, float]:
    """Optimizer steps on all eight images until AP50 or mIoU on them is reached, and that."""
    torch.manual_seed(seed)
    config = compose([*COMMON, f"head={head.split(',')[0]}", *HEADS[head]])
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    keys = [Key(0, image) for image in range(8)]
    batch: Any = data.dataset("train", training=False).__getitems__(keys)
    objects = batch.objects if isinstance(batch, DetectionBatch) else objects_of(batch.labels)
    optimizer = torch.optim.AdamW(task.model.parameters(), 5e-4, weight_decay=1e-4)
    reached = 0.0
    for step in range(1, MOST + 1):
        task.model.train()
        found = task.model(batch.images, None, objects)
        loss = task.criterion(found, objects)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 0.1)
        optimizer.step()
        if step % EVERY == 0:
            task.model.eval()
            reached = learned(task, data, batch)
            if reached >= WANTED:
                return step, reached
    return MOST, reached


@torch.no_grad()
def learned(task: Any, data: Any, batch: Any) -> float:
    """AP50, of masks where there are any; of maps of classes the mIoU."""
    if not isinstance(batch, DetectionBatch):
        task.reset_metrics()
        task.update_metrics(batch, "train")
        return task.compute_metrics("train")["miou"]
    metrics = DetectionMetrics(data.facts.class_names, "segm" if data.masks else "bbox")
    frames = batch.frames  # type: ignore[attr-defined]
    found = postprocess(task.model(batch.images), task.model, range(8), frames, 100)
    metrics.update(range(8), found)
    return metrics.compute(data.ground_truth("train"))["ap50"]


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_a_head_learns_eight_images_by_heart(head):
    steps, reached = steps_to_learn(head)
    assert reached >= WANTED, f"{reached:.3f} after {steps} steps"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or HEADS:
        steps, reached = steps_to_learn(name)
        print(f"{name:<24}{steps:>6} steps  {reached:.3f}", flush=True)
