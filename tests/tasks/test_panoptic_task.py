"""Segments of a mask head: Hugging Face's of the same answers, and what the task tells."""

import pytest
import torch
from panoptic_files import PanopticFolder

from vit.cli.compose import compose
from vit.data.core import bilinear
from vit.data.core.sampling import Key
from vit.data.kinds.detection_transforms import DetectionTransform
from vit.metrics.panoptic import PanopticMetrics
from vit.structures import Detections, Stage
from vit.tasks import postprocess as found
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.panoptic import _owners, parted


@pytest.mark.parametrize("seed", range(4))
def test_segments_are_those_of_hugging_face(seed):
    pytest.importorskip("transformers")
    from transformers.models.eomt.image_processing_eomt import compute_segments

    torch.manual_seed(seed)
    rows, cols = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    middle = torch.rand(12, 2, 1, 1) * 16
    smooth = 3.5 - (rows - middle[:, 0]).hypot(cols - middle[:, 1])[None]  # discs that overlap
    logits = torch.randn(1, 12, 5) * 6
    frame = DetectionTransform((16, 16), 1, (0.5,), (0.5,)).frame(16, 16)
    found = parted(Stage(logits, masks=smooth), 0, frame, (True, False, True, False))
    scores, labels = logits[0].softmax(-1).max(-1)
    kept = (labels < 4) & (scores > 0.8)
    theirs, infos = compute_segments(
        smooth[0][kept], scores[kept], labels[kept], stuff_classes=[1, 3], target_size=(16, 16)
    )
    assert torch.equal(found.segments, theirs + 1)
    assert found.labels.tolist() == [info["label_id"] for info in infos]
    assert found.segments.max() > 1


def discs(queries, rows, cols):
    """Mask logits of discs that overlap."""
    down, across = torch.meshgrid(
        torch.arange(float(rows)), torch.arange(float(cols)), indexing="ij"
    )
    middle = torch.rand(queries, 2, 1, 1) * torch.tensor([rows, cols])[:, None, None]
    return 3.5 - (down - middle[:, 0]).hypot(across - middle[:, 1])


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
@pytest.mark.parametrize("picture", [(16, 16), (47, 30), (9, 100), (3, 2)])
def test_segments_are_those_of_whole_masks_at_the_pictures_size_in_any_bands(
    monkeypatch, picture, fit
):
    torch.manual_seed(1)
    frame = DetectionTransform((16, 16), 1, (0.5,), (0.5,), fit).frame(*picture)
    logits, masks = torch.randn(2, 12, 5) * 6, torch.stack([discs(12, 8, 8) for _ in range(2)])
    things = (True, False, True, False)
    scores, labels = logits[1].softmax(-1).max(-1)
    sure = (labels < 4) & (scores > 0.8)
    scores, labels, shares = scores[sure], labels[sure].tolist(), masks[1][sure]
    shares = frame.maps_to_original(shares).sigmoid()
    owner, above = (scores[:, None, None] * shares).argmax(0), shares >= 0.5
    expected, stuff, classes = torch.zeros(picture, dtype=torch.long), {}, []
    for query, label in enumerate(labels):
        own = (owner == query) & above[query]
        if not own.any() or (owner == query).sum() <= 0.8 * above[query].sum():
            continue
        if things[label] or label not in stuff:
            classes.append(label)
            stuff[label] = len(classes)
        expected[own] = len(classes) if things[label] else stuff[label]
    for values in (1 << 19, 1, 12 * picture[1] * 2):
        monkeypatch.setattr(bilinear, "BAND_VALUES", values)
        result = parted(Stage(logits, masks=masks), 1, frame, things)
        assert torch.equal(result.segments, expected) and result.labels.tolist() == classes


def test_masks_are_the_same_however_many_are_whole_at_once(monkeypatch):
    torch.manual_seed(1)
    frame = DetectionTransform((16, 16), 1, (0.5,), (0.5,)).frame(47, 30)
    answer = Stage(torch.randn(1, 12, 5), masks=discs(12, 8, 8)[None])
    rows = []
    for pixels, values in ((1 << 25, 1 << 19), (1, 1), (5 * 47 * 30, 999)):
        monkeypatch.setattr(found, "HELD_PIXELS", pixels)
        monkeypatch.setattr(bilinear, "BAND_VALUES", values)
        rows.append(found.postprocess(Detections([answer]), None, [7], [frame], 20))
    for other in rows[1:]:
        assert other.masks == rows[0].masks and len(other.masks) > 5
        for name in ("image", "score", "label", "boxes_xyxy"):
            assert (getattr(other, name) == getattr(rows[0], name)).all()


def test_perfect_masks_reach_a_panoptic_quality_of_one(tmp_path):
    data = PanopticFolder(tmp_path).data()
    batch = data.dataset("train", training=False).__getitems__([Key(0, 0), Key(0, 1)])
    metrics = PanopticMetrics(data.facts.class_names, data.is_thing)
    row = 0
    for image, count in enumerate(batch.objects.counts):
        own = slice(row, row + count)
        row += count
        logits = torch.zeros(1, count, 4)
        logits[0, torch.arange(count), batch.objects.labels[own]] = 50.0
        masks = batch.objects.masks[own].float()[None] * 40 - 20
        found = parted(Stage(logits, masks=masks), 0, batch.frames[image], data.is_thing)
        metrics.update([found], [data.panoptic("train", image)])
    assert metrics.compute(torch.device("cpu"))["pq"] == pytest.approx(1.0)


def test_the_task_tells_panoptic_quality(tmp_path, trainer, logged):
    PanopticFolder(tmp_path).data()  # writes the files
    words = ["data=coco_panoptic", f"data.root={tmp_path}", "data.image_size=[32,40]"]
    words += ["data.batch_size=2", "task=detection", "head=masks", "head.num_queries=6"]
    words += ["head.joint_blocks=1", "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
    config = compose([*words, "backbone.patch_size=8", "data.num_workers=0", "task.num_points=64"])
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    run = trainer(max_epochs=1, log_every_n_steps=1)
    loaders = (data.loader(split, rank=0, world_size=1) for split in ("train", "val"))
    run.fit(task, *loaders)
    assert {"val/pq", "val/sq_things", "val/loss"} <= logged(task, data)
    assert "class_pq" in task.tables() and "val/loss" in run.callback_metrics


def test_more_queries_than_two_bytes_count_keep_their_numbers():
    queries = 40_000
    masks = torch.full((1, queries, 2, 2), -9.0)
    logits = torch.zeros(1, queries, 3)
    logits[..., 2] = 50.0  # nothing, but of the last two
    masks[0, -2, :, 0] = masks[0, -1, :, 1] = 9.0
    logits[0, -2:] = torch.tensor([50.0, 0, 0])
    scores = logits[0].softmax(-1).amax(-1)
    frame = DetectionTransform((2, 2), 1, (0.5,), (0.5,)).frame(2, 2)
    owner, kept = _owners(masks[0], scores, frame)
    assert owner.tolist() == [[queries - 2, queries - 1]] * 2
    assert kept[-2:] == [True, True]
