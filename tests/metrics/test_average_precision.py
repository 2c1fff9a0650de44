"""Average precision against pycocotools, crowds, empty images and several ranks included."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch.distributed as dist
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vit.data.segments import run_lengths_of_mask
from vit.metrics.detection import NAMES, DetectionMetrics, Found

CLASSES = ("ant", "bee", "cat")


def made_up(images=40, seed=0, *, sizes=(4, 200), objects=6):
    """Ground truth in COCO's form, and for each image what a middling detector says."""
    draw = np.random.default_rng(seed)
    notes, found = [], []
    for image in range(images):
        count = int(draw.integers(0, objects)) if image % 7 else 0  # some images are empty
        corner = draw.uniform(0, 400, (count, 2))
        size = draw.uniform(*sizes, (count, 2))
        label = draw.integers(0, 3, count)
        for at in range(count):
            notes.append(
                {
                    "id": len(notes) + 1,
                    "image_id": image,
                    "category_id": int(label[at]) + 1,
                    "bbox": [*corner[at], *size[at]],
                    "area": float(size[at].prod()),
                    "iscrowd": int(draw.random() < 0.15),
                }
            )
        extra = int(draw.integers(0, 5))
        corner = np.concatenate([corner + draw.normal(0, 4, corner.shape), corner[:1] * 0 + 10])
        size = np.concatenate([size, size[:1] * 0 + 30])
        label = np.concatenate([label, label[:1]])
        label = np.where(draw.random(len(label)) < 0.2, (label + 1) % 3, label)
        corner, size = np.tile(corner, (1 + extra, 1)), np.tile(size, (1 + extra, 1))
        label = np.tile(label, 1 + extra)
        found.append(
            Found(
                np.full(len(label), image),
                draw.random(len(label)).astype(np.float32),
                label,
                np.concatenate([corner, corner + size], 1).astype(np.float32),
            )
        )
    truth = {
        "images": [{"id": image, "width": 640, "height": 480} for image in range(images)],
        "categories": [{"id": at + 1, "name": name} for at, name in enumerate(CLASSES)],
        "annotations": notes,
    }
    return truth, found


def measured(truth, found):
    metrics = DetectionMetrics(CLASSES)
    for image, each in enumerate(found):
        metrics.update([image], each)
    return metrics.compute(truth), metrics


def by_pycocotools(truth, found, kind="bbox"):
    known = COCO()
    known.dataset = {"info": {}, **truth}
    known.createIndex()
    rows = [
        {
            "image_id": int(part.image[at]),
            "category_id": int(part.label[at]) + 1,
            "score": float(part.score[at]),
            # Masks alone: with a box beside them, pycocotools takes its area for the mask's.
            **(
                {"segmentation": part.masks[at]}
                if kind == "segm"
                else {"bbox": [x1, y1, x2 - x1, y2 - y1]}
            ),
        }
        for part in found
        for at, (x1, y1, x2, y2) in enumerate(part.boxes_xyxy.astype(float))
    ]
    evaluation = COCOeval(known, known.loadRes(rows), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    precision = evaluation.eval["precision"]
    each = [precision[:, :, at, 0, 2] for at in range(3)]
    return evaluation.stats, [float(part[part > -1].mean()) for part in each]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_twelve_numbers_are_those_of_pycocotools(seed, capsys):
    truth, found = made_up(seed=seed)
    numbers, metrics = measured(truth, found)
    capsys.readouterr()
    expected, each = by_pycocotools(truth, found)
    assert tuple(numbers) == NAMES == metrics.names
    assert list(numbers.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert metrics.tables()["class_ap"] == pytest.approx(each, abs=1e-6)
    assert 0.05 < numbers["ap"] < 0.9


def with_masks(truth, found):
    """The boxes of both as masks with a random tenth of their pixels missing, crowds too."""
    draw = np.random.default_rng(9)
    frame = np.zeros((480, 640), dtype=bool)

    def runs(x0, y0, x1, y1):
        mask = frame.copy()
        mask[int(y0) : int(y1), int(x0) : int(x1)] = True
        return run_lengths_of_mask(mask & (draw.random(frame.shape) > 0.1))

    notes = []
    for note in truth["annotations"]:
        x, y, width, height = note["bbox"]
        outline = runs(x, y, x + width, y + height)
        notes.append({**note, "segmentation": outline, "area": float(coco_masks.area(outline))})
    found = [replace(one, masks=[runs(*box) for box in one.boxes_xyxy]) for one in found]
    return {**truth, "annotations": notes}, found


def test_the_twelve_numbers_of_masks_are_those_of_pycocotools(capsys):
    truth, found = with_masks(*made_up(images=25, seed=4))
    metrics = DetectionMetrics(CLASSES, kind="segm")
    for image, each in enumerate(found):
        metrics.update([image], each)
    numbers = metrics.compute(truth)
    capsys.readouterr()
    expected, each = by_pycocotools(truth, found, "segm")
    assert list(numbers.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert metrics.tables()["class_ap"] == pytest.approx(each, abs=1e-6)
    assert 0.05 < numbers["ap"] < 0.9
    assert numbers["ap"] != pytest.approx(measured(truth, found)[0]["ap"], abs=1e-3)


def test_crowds_are_no_mistakes():
    truth, found = made_up()
    without = {
        **truth,
        "annotations": [{**note, "iscrowd": 0} for note in truth["annotations"]],
    }
    assert any(note["iscrowd"] for note in truth["annotations"])
    assert measured(truth, found)[0]["ap"] != measured(without, found)[0]["ap"]


def test_what_the_data_lack_is_no_number():
    truth, found = made_up(sizes=(120, 200))
    numbers, _ = measured(truth, found)
    assert math.isnan(numbers["ap_small"]) and math.isnan(numbers["ar_small"])
    assert numbers["ap_large"] > 0


def test_nothing_found_is_zero_and_only_images_seen_count():
    truth, found = made_up()
    nothing = Found(np.zeros(0, int), np.zeros(0, "f4"), np.zeros(0, int), np.zeros((0, 4), "f4"))
    assert measured(truth, [nothing] * len(found))[0]["ap"] == 0.0
    half, _ = measured(truth, found[:20])
    part = {**truth, "images": truth["images"][:20]}
    part["annotations"] = [note for note in truth["annotations"] if note["image_id"] < 20]
    assert half == measured(part, found[:20])[0]


def test_an_evaluation_forgets_the_one_before():
    truth, found = made_up()
    first, metrics = measured(truth, found)
    metrics.reset()
    for image, each in enumerate(found):
        metrics.update([image], each)
    assert metrics.compute(truth) == first


def test_all_ranks_get_the_numbers_of_all_images(monkeypatch):
    truth, found = made_up()
    expected, _ = measured(truth, found)
    parts = []
    for rank in range(3):
        metrics = DetectionMetrics(CLASSES)
        for image in range(rank, len(found), 3):
            metrics.update([image], found[image])
        parts.append(metrics)
    told = [(part._images, part._found) for part in parts]
    monkeypatch.setattr("vit.metrics.detection.several_ranks", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(
        dist, "all_gather_object", lambda into, _: into.__setitem__(slice(None), told)
    )
    monkeypatch.setattr(dist, "broadcast_object_list", lambda told, src: None)
    assert parts[0].compute(truth) == pytest.approx(expected, abs=1e-12)


def test_classes_may_have_any_ids_in_any_order():
    truth, found = made_up()
    ids = [40, 7, 90]
    other = {
        **truth,
        "categories": [{**each, "id": ids[each["id"] - 1]} for each in truth["categories"]],
        "annotations": [
            {**note, "category_id": ids[note["category_id"] - 1]} for note in truth["annotations"]
        ],
    }
    numbers, metrics = measured(truth, found)
    renamed, others = measured(other, found)
    assert renamed == pytest.approx(numbers, abs=1e-12)
    assert others.tables() == metrics.tables()
