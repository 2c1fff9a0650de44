"""Order, augmentation and frames: the same whatever prepares them, and a way back."""

import random

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vit.data.augment_boxes import BoxCrop, NoBoxAugmentation, Photometric, ScaleJitter
from vit.data.coco import Coco
from vit.data.core.sampling import Key
from vit.data.digit_scenes import DigitScenes


def scenes(**settings):
    return DigitScenes(
        **{
            "train_scenes": 24,
            "val_scenes": 10,
            "test_scenes": 7,
            "batch_size": 6,
            "image_size": (64, 80),
            "masks": True,
            "padding": True,
            "mosaic": 0.5,
            "augment_boxes": Photometric(frame=ScaleJitter()),
            **settings,
        }
    )


def batches_of(data, epoch=0, start=0, **world):
    loader = data.loader("train", **world)
    loader.batch_sampler.start(epoch, start)
    return list(loader)


def by_sample(batches):
    found = {}
    for batch in batches:
        ends = np.cumsum(batch.objects.counts)
        for row, sample in enumerate(batch.index.tolist()):
            first, last = ends[row] - batch.objects.counts[row], ends[row]
            found[sample] = (
                batch.images[row],
                batch.padding[row],
                batch.objects.labels[first:last],
                batch.objects.boxes_cxcywh[first:last],
                batch.objects.masks[first:last],
            )
    return found


def assert_same(some, others):
    assert some.keys() == others.keys()
    assert some
    for sample in some:
        for one, other in zip(some[sample], others[sample], strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
def test_workers_change_neither_order_nor_pixels_nor_objects():
    alone, helped = scenes(), scenes(num_workers=2)
    loader = helped.loader("train")
    for epoch, start in ((0, 0), (1, 2)):
        loader.batch_sampler.start(epoch, start)
        some, others = list(loader), batches_of(alone, epoch, start)
        assert [b.index.tolist() for b in some] == [b.index.tolist() for b in others]
        assert [b.objects.counts for b in some] == [b.objects.counts for b in others]
        assert_same(by_sample(some), by_sample(others))


@pytest.mark.parametrize(("world_size", "accumulate"), [(2, 1), (3, 1), (1, 3)])
def test_ranks_and_accumulation_change_nothing(world_size, accumulate):
    sizes = {"train_sizes": (48, 64), "padding": True}
    whole = by_sample(batches_of(scenes(**sizes), epoch=3))
    parts = {}
    for rank in range(world_size):
        world = {"rank": rank, "world_size": world_size, "accumulate": accumulate}
        parts |= by_sample(batches_of(scenes(**sizes), epoch=3, **world))
    assert_same(parts, whole)


def test_epoch_and_seed_change_the_pixels():
    some = by_sample(batches_of(scenes()))
    for changed in (by_sample(batches_of(scenes(), 1)), by_sample(batches_of(scenes(seed=1)))):
        assert sum(torch.equal(some[s][0], changed[s][0]) for s in some.keys() & changed.keys()) < 5


def test_loading_neither_moves_nor_heeds_the_global_generators():
    some = by_sample(batches_of(scenes()))
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    before = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    assert_same(by_sample(batches_of(scenes())), some)
    assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()) == before


def test_each_step_has_one_size_and_sizes_change_from_step_to_step():
    data = scenes(train_sizes=(32, 48, 64), batch_size=2, image_size=64)
    first = [tuple(batch.images.shape[-2:]) for batch in batches_of(data)]
    assert set(first) == {(32, 32), (48, 48), (64, 64)}
    later = [tuple(batch.images.shape[-2:]) for batch in batches_of(data, epoch=1)]
    assert later != first
    assert {batch.images.shape[-1] for batch in data.loader("val")} == {64}


def test_boxes_are_tight_around_the_masks_after_loading():
    data = scenes(augment_boxes=BoxCrop(), mosaic=0.3)
    seen = 0
    for batch in batches_of(data):
        height, width = batch.images.shape[-2:]
        for box, mask in zip(batch.objects.boxes_cxcywh, batch.objects.masks, strict=True):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            centre, half = box[:2], box[2:] / 2
            x0, y0 = ((centre - half) * torch.tensor([width, height])).tolist()
            x1, y1 = ((centre + half) * torch.tensor([width, height])).tolist()
            # Cropping may hide a digit's end, whose mask then is less than its box; never more.
            assert columns.min() >= x0 - 1
            assert columns.max() + 1 <= x1 + 1
            assert rows.min() >= y0 - 1
            assert rows.max() + 1 <= y1 + 1
            seen += 1
    assert seen > 20


def test_mosaic_brings_objects_of_four_pictures_and_ends_when_reported():
    settings = {"augment_boxes": NoBoxAugmentation(), "min_digits": 2, "max_digits": 2}
    plain = scenes(mosaic=0.0, **settings)
    assert {n for batch in batches_of(plain) for n in batch.objects.counts} <= {1, 2}
    laid = scenes(mosaic=1.0, mosaic_epochs=1, **settings)
    counts = [n for batch in batches_of(laid) for n in batch.objects.counts]
    assert min(counts) >= 4
    assert max(counts) == 8
    assert_same(by_sample(batches_of(laid, epoch=1)), by_sample(batches_of(plain, epoch=1)))


def test_evaluation_comes_in_order_once_over_all_ranks_and_knows_its_frames():
    data = scenes(eval_batch_size=4)
    indices = []
    for rank in range(3):
        for batch in data.loader("test", rank=rank, world_size=3):
            indices += batch.index.tolist()
            assert batch.frames == tuple(data.frame("test", i) for i in batch.index.tolist())
    assert sorted(indices) == list(range(7))
    assert batches_of(data)[0].frames == ()


def test_evaluation_batches_hold_what_the_ground_truth_says():
    data = scenes(image_size=96)
    truth = data.ground_truth("val")
    assert [image["id"] for image in truth["images"]] == list(range(10))
    assert [one["id"] for one in truth["annotations"]] == list(
        range(1, len(truth["annotations"]) + 1)
    )
    for batch in data.loader("val"):
        ends = np.cumsum(batch.objects.counts)
        for row, index in enumerate(batch.index.tolist()):
            some = slice(ends[row] - batch.objects.counts[row], ends[row])
            boxes = batch.frames[row].to_original(batch.objects.boxes_cxcywh[some])
            result = [one for one in truth["annotations"] if one["image_id"] == index]
            wanted = torch.tensor([one["bbox"] for one in result]).reshape(-1, 4)
            wanted[:, 2:] += wanted[:, :2]
            assert torch.allclose(boxes, wanted, atol=1e-3)
            labels = [data.facts.class_ids[n] for n in batch.objects.labels[some].tolist()]
            assert labels == [one["category_id"] for one in result]
            assert [one["area"] for one in result] == batch.objects.masks[some].sum((1, 2)).tolist()


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_what_batches_hold_scores_full_marks_against_the_ground_truth(coco_files, fit):
    """All the way: files, loader, frames, and pycocotools to judge; crowds among them."""
    coco_files.content["val"]["annotations"][1]["iscrowd"] = 1
    data = Coco(root=coco_files.write(), image_size=(64, 50), fit=fit, eval_batch_size=2)
    truth = COCO()
    truth.dataset = data.ground_truth("val")
    truth.createIndex()
    results = []
    for batch in data.loader("val"):
        boxes, labels = (
            values.split(list(batch.objects.counts))
            for values in (batch.objects.boxes_cxcywh, batch.objects.labels)
        )
        for row, index in enumerate(batch.index.tolist()):
            for box, label in zip(
                batch.frames[row].to_original(boxes[row]).tolist(),
                labels[row].tolist(),
                strict=True,
            ):
                x0, y0, x1, y1 = box
                number = data.facts.class_ids[label]
                one = {"image_id": index, "category_id": number, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                results.append({**one, "score": 0.9})
    assert len(results) == 5
    judge = COCOeval(truth, truth.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1)


def test_a_batch_without_objects_has_the_right_shapes():
    data = scenes(min_digits=0, max_digits=0)
    for batch in [*batches_of(data), *data.loader("val")]:
        assert batch.objects.counts == (0,) * len(batch)
        assert batch.objects.labels.shape == (0,)
        assert batch.objects.boxes_cxcywh.shape == (0, 4)
        assert batch.objects.masks.shape == (0, 64, 80)
        assert torch.isfinite(batch.images).all()


def test_a_batch_moves_with_its_frames():
    batch = next(iter(scenes().loader("val")))
    moved = batch.to("cpu")
    assert moved.frames == batch.frames
    assert torch.equal(moved.images, batch.images)
    assert torch.equal(moved.padding, batch.padding)


def test_padding_is_where_the_picture_is_not():
    data = scenes(image_size=(96, 96), augment_boxes=ScaleJitter(scale=(0.5, 0.5)), mosaic=0.0)
    for batch in batches_of(data):
        assert batch.padding.flatten(1).sum(1).tolist() == [96 * 96 - 48 * 48] * len(batch)
        assert batch.images[batch.padding[:, None]].abs().max() < 0.02  # the mean colour, to a byte
    assert not next(iter(data.loader("val"))).padding.any()
    assert next(iter(scenes(padding=False).loader("val"))).padding is None


@pytest.mark.parametrize("mosaic", [0.0, 0.5])
def test_pixels_of_a_key_do_not_depend_on_its_batch(mosaic):
    data = scenes(mosaic=mosaic).dataset("train", training=True)
    together = by_sample([data.__getitems__([Key(2, n) for n in range(6)])])
    apart = by_sample([data.__getitems__([Key(2, n)]) for n in range(6)])
    assert_same(together, apart)
