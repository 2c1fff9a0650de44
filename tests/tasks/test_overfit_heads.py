"""Each detection head learns eight images by heart: `python tests/tasks/test_overfit_heads.py`.

Prints the steps that each took; none is promised to learn from so little what new images show.
"""

import sys

import pytest
import torch

from vit.data.detection_loading import FramedBatch
from vit.data.sampling import Key
from vit.doors.compose import compose
from vit.metrics.detection import DetectionMetrics
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.found import found_in

COMMON = [
    "data=digit_scenes",
    "data.train_scenes=8",
    "data.val_scenes=8",
    "data.test_scenes=8",
    "task=detection",
    "backbone.dim=64",
    "backbone.depth=3",
    "backbone.heads=4",
    "backbone.patch_size=8",
    "backbone/patch=stem",
    "checkpoint.monitor=val/ap",
]
DECODER = ["head.width=64", "head.hidden=128", "head.heads=4", "head.num_queries=20"]
HEADS = {
    "deformable": [*DECODER, "head.cross_heads=4", "head.neck.num_blocks=3"],
    "boxrpb": [*DECODER, "head.num_layers=3", "head.bias_hidden=64", "head.neck.num_blocks=3"],
    "detr": [*DECODER, "head.num_layers=3", "task.cost_class=1"],
    "tokens": ["head.num_queries=20", "task.cost_class=1"],
}
WANTED, EVERY, MOST = 0.9, 50, 4000


def steps_to_learn(head: str, seed: int = 0) -> tuple[int, float]:
    """Optimizer steps on all eight images until AP50 on them is reached, and that AP50."""
    torch.manual_seed(seed)
    config = compose([*COMMON, f"head={head}", *HEADS[head]])
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    keys = [Key(0, image) for image in range(8)]
    batch: FramedBatch = data.dataset("train", training=False).__getitems__(keys)
    truth = data.ground_truth("train")
    optimizer = torch.optim.AdamW(task.model.parameters(), 5e-4, weight_decay=1e-4)
    reached = 0.0
    for step in range(1, MOST + 1):
        task.model.train()
        detections = task.model(batch.images)
        loss = task.criterion(detections, batch.objects)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 0.1)
        optimizer.step()
        if step % EVERY == 0:
            task.model.eval()
            metrics = DetectionMetrics(data.facts.class_names)
            with torch.no_grad():
                detections = task.model(batch.images)
            metrics.update(range(8), found_in(detections, task.model, range(8), batch.frames, 100))
            reached = metrics.compute(truth)["ap50"]
            if reached >= WANTED:
                return step, reached
    return MOST, reached


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_a_head_learns_eight_images_by_heart(head):
    steps, ap50 = steps_to_learn(head)
    assert ap50 >= WANTED, f"AP50 {ap50:.3f} after {steps} steps"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or HEADS:
        steps, ap50 = steps_to_learn(name)
        print(f"{name:<12}{steps:>6} steps  AP50 {ap50:.3f}", flush=True)
