"""Masks and boxes find back to the original pictures: perfect answers score perfectly."""

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as run_lengths

from vit.data.core.sampling import Key
from vit.data.digit_scenes import DigitScenes
from vit.data.kinds.detection_transforms import DetectionTransform
from vit.metrics.detection import DetectionMetrics
from vit.structures import Detections, Stage
from vit.tasks.postprocess import best_masks, postprocess


class Model:
    class head:
        no_object = True


@pytest.fixture
def scenes():
    sizes = {"train_scenes": 4, "val_scenes": 12, "test_scenes": 4}
    return DigitScenes(masks=True, image_size=64, digit_size=(14, 30), **sizes)


def perfect(objects, classes, queries=8):
    """Detections that answer each object with its own mask and class, and else with nothing."""
    batch, size = len(objects.counts), objects.masks.shape[1:]
    logits = torch.zeros(batch, queries, classes + 1)
    logits[..., -1] = 20.0
    masks = torch.full((batch, queries, *size), -20.0)
    row = 0
    for image, count in enumerate(objects.counts):
        for query in range(count):
            logits[image, query, objects.labels[row]] = 50.0
            masks[image, query][objects.masks[row]] = 20.0
            row += 1
    return Detections([Stage(logits, masks=masks)])


def test_masks_of_the_objects_themselves_reach_an_ap_of_one(scenes):
    batch = scenes.dataset("val", training=False).__getitems__([Key(0, n) for n in range(12)])
    detections = perfect(batch.objects, 10)
    metrics = DetectionMetrics(scenes.facts.class_names, "segm")
    images = batch.index.tolist()
    found = postprocess(detections, Model, images, batch.frames, 100)
    metrics.update(images, found)
    numbers = metrics.compute(scenes.ground_truth("val"))
    assert numbers["ap"] == pytest.approx(1.0, abs=1e-6)
    best = found.score > 0.5
    assert best.sum() == sum(batch.objects.counts)
    # the boxes are those around the masks
    for box, runs in zip(found.boxes_xyxy[best], np.array(found.masks)[best], strict=True):
        x, y, width, height = run_lengths.toBbox(runs)
        assert box.tolist() == [x, y, x + width, y + height]


def test_a_letterboxed_mask_comes_back_to_the_size_of_its_picture():
    frame = DetectionTransform((32, 32), 1, (0.5,), (0.5,)).frame(50, 100)
    assert frame.scaled == (16, 32) and frame.offset == (8, 0)
    masks = torch.full((1, 32, 32), -5.0)
    masks[0, 8:16, 16:] = 5.0  # the upper right quarter of the picture
    whole = frame.maps_to_original(masks) > 0
    assert whole.shape == (1, 50, 100)
    expected = torch.zeros(50, 100, dtype=torch.bool)
    expected[:25, 50:] = True
    assert (whole[0] != expected).float().mean() < 0.02
    assert frame.maps_to_original(masks[:0]).shape == (0, 50, 100)


def test_empty_masks_and_scores_that_are_no_numbers_are_left_out():
    logits = torch.zeros(1, 3, 3)
    masks = torch.full((1, 3, 8, 8), -1.0)
    masks[0, 0, :4] = 1.0
    logits[0, 2] = torch.nan
    masks[0, 2, 4:] = 1.0
    frame = DetectionTransform((8, 8), 1, (0.5,), (0.5,)).frame(8, 8)
    found = postprocess(Detections([Stage(logits, masks=masks)]), Model, [7], [frame], 100)
    assert found.image.tolist() == [7, 7] and len(found.masks) == 2  # its two classes
    assert (found.boxes_xyxy == [0.0, 0.0, 8.0, 4.0]).all()


def test_a_score_is_that_of_the_class_times_that_of_the_mask():
    logits = torch.tensor([[[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]])
    masks = torch.tensor([[[[1.0, -1.0]], [[2.0, 4.0]]]])
    scores, labels, chosen = best_masks(Stage(logits, masks=masks), 0, 2)
    chances = logits.softmax(-1)[0, :, :2]
    sure = torch.stack([torch.tensor(1.0).sigmoid(), torch.tensor([2.0, 4.0]).sigmoid().mean()])
    expected = chances * sure[:, None]
    assert labels.tolist() == [1, 0]
    torch.testing.assert_close(scores, torch.stack([expected[1, 1], expected[0, 0]]))
    torch.testing.assert_close(chosen, masks[0][[1, 0]])
