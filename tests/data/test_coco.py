"""COCO's files as they are found: real ones, masks of every form, splits set aside."""

import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as pycocotools_mask

from vit.data.annotations.segments import area, decoded, run_lengths, run_lengths_of_mask
from vit.data.coco import Coco
from vit.data.core.sampling import Key

TEST_DATA = os.environ.get("VIT_TEST_DATA")
REAL = Path(TEST_DATA or "absent") / "bccd"


@pytest.mark.skipif(
    not REAL.is_dir(), reason="VIT_TEST_DATA names no folder that holds bccd, blood cells as COCO"
)
def test_real_pictures_load_and_their_ground_truth_is_what_was_published():
    data = Coco(root=str(REAL), image_size=(240, 320), batch_size=5)
    assert data.faults() == []
    assert data.lengths == {"train": 205, "val": 87}
    assert data.facts.class_names == ("RBC", "WBC", "Platelets")
    warnings = data.warnings()
    assert len(warnings) == 2
    assert all("width 0" in warning for warning in warnings)
    published = json.loads((REAL / "annotations" / "val.json").read_text())
    names = {image["id"]: image["file_name"] for image in published["images"]}
    wanted = sorted(
        (names[one["image_id"]], one["category_id"], *one["bbox"])
        for one in published["annotations"]
        if one["bbox"][2] > 0
    )
    truth = data.ground_truth("val")
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    found = sorted(
        (names[one["image_id"]], one["category_id"], *one["bbox"]) for one in truth["annotations"]
    )
    assert len(found) == len(wanted) == 1137
    assert np.allclose([one[1:] for one in found], [one[1:] for one in wanted], atol=1)  # clipped
    batch = next(iter(data.loader("val")))
    assert batch.images.shape[1:] == (3, 240, 320)
    assert data.sample_name("val", 0) == truth["images"][0]["file_name"]
    assert data.picture("val", 0).size == (640, 480)


def outlines():
    generator = np.random.default_rng(0)
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[3:20, 5:30] = generator.integers(0, 2, (17, 25))
    compressed = pycocotools_mask.encode(np.asfortranarray(mask))
    runs, counts, value = mask.T.ravel(), [], 0
    while len(runs):
        same = int(np.argmax(runs != value)) if (runs != value).any() else len(runs)
        counts.append(same)
        runs, value = runs[same:], 1 - value
    return {
        "polygon": [[5.5, 3.2, 30.1, 4.0, 20.7, 25.9]],
        "two polygons": [[1, 1, 9, 1, 9, 9, 1, 9], [20, 10, 35.5, 12, 30, 28.5]],
        "compressed": {"size": [30, 40], "counts": compressed["counts"].decode()},
        "uncompressed": {"size": [30, 40], "counts": counts},
    }


@pytest.mark.parametrize("form", ["polygon", "two polygons", "compressed", "uncompressed"])
def test_masks_are_those_of_pycocotools(form):
    outline = outlines()[form]
    if isinstance(outline, list):
        runs = pycocotools_mask.merge(pycocotools_mask.frPyObjects(outline, 30, 40))
    elif form == "uncompressed":
        runs = pycocotools_mask.frPyObjects(outline, 30, 40)
    else:
        runs = outline
    wanted = pycocotools_mask.decode(runs).astype(bool)
    found = decoded(outline, 30, 40)
    assert wanted.any()
    assert np.array_equal(found, wanted)
    assert area(outline, 30, 40) == wanted.sum()
    for again in (run_lengths(outline, 30, 40), run_lengths_of_mask(found)):
        assert json.loads(json.dumps(again)) == again
        assert np.array_equal(pycocotools_mask.decode(again).astype(bool), found)


def test_no_outline_is_an_empty_mask():
    for outline in (None, []):
        assert not decoded(outline, 4, 5).any()
        assert area(outline, 4, 5) == 0
        assert not decoded(run_lengths(outline, 4, 5), 4, 5).any()


def test_masks_come_with_their_objects_and_in_the_ground_truth(coco_files):
    forms = list(outlines().values())
    # Published in an order that is not that of the images.
    coco_files.annotations.reverse()
    for content in coco_files.content.values():
        for at, one in enumerate(content["annotations"]):
            one["segmentation"] = forms[at % 4]
    data = Coco(root=coco_files.write(), image_size=(30, 40), masks=True, batch_size=1)
    assert data.faults() == []
    truth = data.ground_truth("train")["annotations"]
    first = 0
    dataset = data.dataset("train", training=False)
    for index in range(3):
        batch = dataset.__getitems__([Key(0, index)])
        here = [one for one in coco_files.annotations if one["image_id"] == 10 * (index + 1)]
        assert batch.objects.counts == (3,)
        for mask, published in zip(batch.objects.masks, here, strict=True):
            wanted = decoded(published["segmentation"], 30, 40)
            assert torch.equal(mask, torch.from_numpy(wanted))
            runs = truth[first]["segmentation"]
            assert np.array_equal(pycocotools_mask.decode(runs).astype(bool), wanted)
            first += 1


def test_val_is_set_aside_where_there_is_no_file_of_it(coco_files):
    data = Coco(root=coco_files.write(), val_file=None, val_fraction=0.34, image_size=32)
    assert data.lengths == {"train": 2, "val": 1}
    truth = data.ground_truth("val")
    assert len(truth["images"]) == 1
    assert len(truth["annotations"]) == 3
    description = data.describe()["val"]
    assert (description["images"], description["objects"], description["most_objects"]) == (1, 3, 3)
    assert data.picture("val", 0).size == (40, 30)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_that_was_named_and_is_not_there_is_no_reason_to_cut_train(coco_files, split):
    named = {f"{split}_file": "annotations/vall.json"}
    (fault,) = Coco(root=coco_files.write(), image_size=32, **named).faults()
    for part in (f"data.{split}_file=annotations/vall.json", "val.json", f"data.{split}_file=null"):
        assert part in str(fault)


@pytest.mark.parametrize(
    ("train", "val", "images"),
    [
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json", "{}2017"),
        ("annotations/instances_train.json", "annotations/instances_val.json", "images/{}"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json", "{}"),
        ("annotations/instances_train a.json", "annotations/instances_val a.json", "{} a"),
    ],
)
def test_known_layouts_are_answered_by_the_words_that_read_them(coco_files, train, val, images):
    root = Path(coco_files.write())
    for split, name in (("train", train), ("val", val)):
        called = Path(name).parent.name if "_annotations" in name else split
        shutil.copytree(root / "images", root / images.format(called), dirs_exist_ok=True)
        (root / name).parent.mkdir(exist_ok=True)
        (root / "annotations" / f"{split}.json").rename(root / name)
    if "/" not in images:
        shutil.rmtree(root / "images")
    (fault,) = Coco(root=str(root), image_size=32).faults()
    words = shlex.split(str(fault).partition("read with: ")[2])
    settings = dict(word.removeprefix("data.").split("=") for word in words)
    data = Coco(root=str(root), image_size=32, **settings)
    assert data.faults() == []
    assert data.lengths == {"train": 3, "val": 2}


def test_a_root_that_is_not_there_is_reported(tmp_path):
    (fault,) = Coco(root=str(tmp_path / "absent")).faults()
    assert "does not exist" in str(fault)
