"""Panoptic files: masks, flags and ground truth are what the colours say; faults by file."""

import math

import numpy as np
import pytest
import torch
from panoptic_files import CATEGORIES, PanopticFolder
from PIL import Image

from vit.metrics.panoptic import PanopticMetrics


@pytest.fixture
def files(tmp_path):
    return PanopticFolder(tmp_path / "panoptic")


def test_objects_have_the_masks_that_the_colours_say(files):
    data = files.data()
    assert data.faults(full=True) == []
    assert data.facts.class_names == ("cat", "dog", "sky")
    assert data.is_thing == (True, True, False)
    (batch,) = data.loader("val")
    assert batch.objects.labels.tolist() == [2, 1, 1]  # the crowd is for the metric alone
    sky, left, right = batch.objects.masks
    wanted = torch.zeros(30, 40, dtype=torch.bool)
    wanted[3:12, 2:10] = True
    assert torch.equal(left, wanted)
    assert int(right.sum()) == 100
    assert int(sky.sum()) == 28 * 40 - 72 - 100 - 240
    truth = data.ground_truth("val")["annotations"]
    assert [one["area"] for one in truth] == [708, 72, 240, 100]
    assert all("counts" in one["segmentation"] for one in truth)


def test_the_ground_truth_scores_one_and_a_wrong_answer_less(files):
    data = files.data()
    truth = [data.panoptic("train", index) for index in range(2)]
    assert truth[0].labels.tolist() == [2, 1, 0, 1]
    assert truth[0].crowd.tolist() == [False, False, True, False]
    assert truth[0].segments[29, 0] == 0
    metrics = PanopticMetrics(data.facts.class_names, data.is_thing)
    metrics.update(truth, truth)
    numbers = metrics.compute(torch.device("cpu"))
    assert numbers["pq"] == numbers["pq_things"] == numbers["pq_stuff"] == 1.0
    assert metrics.tables()["class_pq"] == [None, 1.0, 1.0]  # cats come as a crowd alone
    metrics.reset()
    other = [data.panoptic("train", index) for index in (0, 1)]
    other[0].segments[other[0].segments == 4] = 0
    metrics.update(other, truth)
    numbers = metrics.compute(torch.device("cpu"))
    assert numbers["rq_things"] == pytest.approx(3 / 3.5)
    assert not math.isnan(numbers["pq"])


def test_maps_that_are_missing_are_faults(files):
    (files.root / "annotations" / "panoptic_train" / "2.png").unlink()
    (fault,) = files.data().faults()
    assert "images without a PNG" in str(fault)
    assert "2.jpg (1 in all)" in str(fault)


def test_maps_that_do_not_go_with_the_file_are_faults(files):
    folder = files.root / "annotations" / "panoptic_train"
    Image.new("RGB", (40, 30), (9, 9, 9)).save(folder / "1.png")
    Image.new("RGB", (41, 30)).save(folder / "2.png")
    Image.new("L", (40, 30)).save(folder.parent / "panoptic_val" / "3.png")
    train, val = map(str, files.data().faults())
    assert "1.png: 1 segments are not listed" in train
    assert "such as 592137" in train
    assert "2.png: is 41×30 pixels, but its image 40×30" in train
    assert "(2 in all)" in train
    assert "3.png: is a PNG of mode L; wanted a PNG in RGB" in val


@pytest.mark.parametrize("spoilt", [None, ["dog"], [{"id": "5"}]])
def test_files_of_another_form_are_reported_from_panoptic_ones(files, spoilt):
    files.content["val"]["annotations"][0]["segments_info"] = spoilt
    (fault,) = files.data().faults()
    assert r"panoptic_val.json: annotations[0] has no list `segments_info`" in str(fault)
    assert "data=coco" in str(fault)


def test_categories_must_say_whether_they_are_things(files):
    for content in files.content.values():
        content["categories"] = [{"id": one["id"], "name": one["name"]} for one in CATEGORIES]
    assert "categories without `isthing`: 'dog', 'cat', 'sky'" in str(files.data().faults()[0])


def test_the_fingerprint_changes_with_the_colours(files):
    before = files.data().fingerprint()
    assert files.data(batch_size=3).fingerprint() == before
    colours = np.full((30, 40), 70001)
    files.save("train", 1, colours)
    assert files.data().fingerprint() != before


def test_a_listed_segment_without_a_pixel_is_a_fault(files):
    infos = files.content["train"]["annotations"][0]["segments_info"]
    infos.append({**infos[1], "id": 999})
    (fault,) = files.data().faults(full=True)
    assert "segments are listed that have no pixel in their PNG: 1.jpg (1, such as 999)" in str(
        fault
    )
