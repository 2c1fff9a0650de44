"""Average precision against pycocotools, crowds, empty images and several ranks included."""

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch.distributed as dist
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vit.data.annotations.segments import run_lengths_of_mask
from vit.metrics.detection import NAMES, DetectionMetrics, ImageDetections
from vit.metrics.hits import NOTHING, matched, truth_by_image

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
            ImageDetections(
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


def coco_evaluation(truth, found, kind="bbox"):
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
    return evaluation


def by_pycocotools(truth, found, kind="bbox"):
    evaluation = coco_evaluation(truth, found, kind)
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


def test_cycles_are_searched_for_again_after_an_evaluation_even_one_that_failed(monkeypatch):
    truth, found = made_up(images=3)
    seen = []
    monkeypatch.setattr(DetectionMetrics, "_annotations", lambda *_: seen.append(gc.isenabled()))
    with pytest.raises(TypeError):
        measured(truth, found)
    assert seen == [False] and gc.isenabled()


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
    nothing = ImageDetections(
        np.zeros(0, int), np.zeros(0, "f4"), np.zeros(0, int), np.zeros((0, 4), "f4")
    )
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
    result = [(part._images, part._found) for part in parts]
    monkeypatch.setattr("vit.metrics.detection.several_ranks", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(
        dist, "all_gather_object", lambda into, _: into.__setitem__(slice(None), result)
    )
    monkeypatch.setattr(dist, "broadcast_object_list", lambda result, src: None)
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


def test_curves_of_each_class_are_those_of_pycocotools(capsys):
    truth, found = made_up(seed=3)
    evaluation, tables = coco_evaluation(truth, found), measured(truth, found)[1].tables()
    precision = evaluation.eval["precision"][0, :, :, 0, 2]  # [recall, class]
    np.testing.assert_allclose(np.transpose(tables["precision"]), precision, atol=1e-4)
    assert tables["class_ap50"] == pytest.approx(precision.mean(0), abs=1e-6)
    scores = evaluation.eval["scores"][0, :, :, 0, 2]
    recall = np.linspace(0, 1, 101)[:, None]
    best = (2 * precision * recall / (precision + recall + 1e-12)).argmax(0)
    assert tables["class_score"] == pytest.approx(scores[best, range(3)], abs=1e-6)


def test_a_class_without_objects_has_no_curve():
    truth, found = made_up(images=5)
    truth["annotations"] = [note for note in truth["annotations"] if note["category_id"] != 2]
    _, metrics = measured(truth, found)
    tables = metrics.tables()
    assert tables["precision"][1] is None and tables["class_ap50"][1] is None
    assert tables["class_score"][1] is None and metrics.best_scores()[1] == 0.5
    assert len(tables["precision"][0]) == 101


def test_what_hits_and_what_is_missed_is_what_pycocotools_matches(capsys):
    truth, found = made_up(seed=4)
    evaluation, there = coco_evaluation(truth, found), truth_by_image(truth)
    result = {"hit": 0, "in_crowd": 0, "false": 0, "missed": 0, "found": 0}
    wanted = dict.fromkeys(result, 0)
    for image, each in enumerate(found):
        own = there.get(image, NOTHING)
        hits = matched(each.boxes_xyxy, each.score, each.label, own)
        result["hit"] += int(hits.hit.sum())
        result["in_crowd"] += int(hits.in_crowd.sum())
        result["false"] += len(hits.false())
        result["missed"] += len(hits.missed(own))
        result["found"] += int(hits.found.sum())
    every_size = [each for each in evaluation.evalImgs if each and each["aRng"] == [0, 1e10]]
    for each in every_size:
        matches, ignored = each["dtMatches"][0] > 0, each["dtIgnore"][0]
        crowd = np.asarray(each["gtIgnore"], bool)
        wanted["hit"] += int((matches & ~ignored).sum())
        wanted["in_crowd"] += int((matches & ignored).sum())
        wanted["false"] += int((~matches).sum())
        wanted["missed"] += int(((each["gtMatches"][0] == 0) & ~crowd).sum())
        wanted["found"] += int(((each["gtMatches"][0] > 0) & ~crowd).sum())
    assert result == wanted
    assert min(result.values()) > 0


def test_found_objects_of_an_image_come_together_from_all_batches():
    truth, found = made_up(images=6)
    metrics = DetectionMetrics(CLASSES)
    metrics.update([0, 1], joined(found[:2]))
    metrics.update([3, 2], joined([found[3], found[2]]))
    metrics.compute(truth)
    result = dict(metrics.by_image())
    assert list(result) == [0, 1, 2, 3]
    for image, each in result.items():
        np.testing.assert_array_equal(each.boxes_xyxy, found[image].boxes_xyxy)
    metrics.reset()
    assert not dict(metrics.by_image())


def joined(parts):
    arrays = ("image", "score", "label", "boxes_xyxy")
    return ImageDetections(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in arrays)
    )
