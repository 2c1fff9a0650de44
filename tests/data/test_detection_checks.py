"""What is wrong with annotations is said before training: each way of it, by file, id and count."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.data.annotations.segments import counts_of, outline_fault, run_lengths_of_mask
from vit.data.coco import Coco
from vit.data.core.sampling import Key


def checked(files, **settings):
    data = Coco(root=files.write(), image_size=32, **settings)
    return [str(fault) for fault in data.faults()], data.warnings(), data


def only_fault(files, **settings):
    faults, _, data = checked(files, **settings)
    assert len(faults) == 1, faults
    with pytest.raises(ValueError, match="json"):
        data.dataset("train", training=True)
    return faults[0]


def only_warning(files, **settings):
    faults, warnings, data = checked(files, **settings)
    assert faults == []
    assert len(warnings) == 1, warnings
    assert len(next(iter(data.loader("val")))) == 2
    return warnings[0], data


def test_sound_files_have_neither_faults_nor_warnings(coco_files):
    faults, warnings, data = checked(coco_files)
    assert faults == []
    assert warnings == []
    assert data.describe()["train"]["objects"] == 9


def test_boxes_without_area_are_dropped_and_said(coco_files):
    coco_files.annotations[0]["bbox"] = [2, 3, 0, 5]
    coco_files.annotations[4]["bbox"] = [2, 3, 4, -5]
    warning, data = only_warning(coco_files)
    assert (
        "train.json: no area, dropped: ann 100: width 0, ann 201: height -5 (2 in all)" in warning
    )
    assert data.describe()["train"]["objects"] == 7


def test_boxes_partly_outside_are_clipped_and_those_outside_dropped(coco_files):
    coco_files.annotations[0]["bbox"] = [-4, 3, 10, 5]
    warning, data = only_warning(coco_files)
    assert "partly outside of the image, clipped: ann 100 (1 in all)" in warning
    assert data.ground_truth("train")["annotations"][0]["bbox"] == [0, 3, 6, 5]
    coco_files.annotations[0]["bbox"] = [41, 3, 10, 5]
    warning, data = only_warning(coco_files)
    assert "wholly outside of the image, dropped: ann 100 (1 in all)" in warning
    assert data.describe()["train"]["objects"] == 8


@pytest.mark.parametrize(
    "bbox",
    [
        [1, 2, float("nan"), 4],
        [1, 2, 3],
        None,
        "1,2,3,4",
        [1, 2, "3", 4],
        [1, 2, 3, True],
        [1, 2, 10**400, 4],
    ],
)
def test_boxes_that_are_not_four_numbers_are_faults(coco_files, bbox):
    coco_files.annotations[1]["bbox"] = bbox
    assert "the box is not four finite numbers: ann 101 (1 in all)" in only_fault(coco_files)


def test_normalised_boxes_are_a_fault(coco_files):
    for one in coco_files.annotations:
        one["bbox"] = [value / 40 for value in one["bbox"]]
    assert "9 of 9 boxes are within 0 to 1: this looks normalised" in only_fault(coco_files)
    for number in range(30):
        more = coco_files.annotation(900 + number, 10, 7, [0.1, 0.2, 0.3, 0.4])
        coco_files.annotations.append(more)
    coco_files.annotations[3]["bbox"] = [0, 0.2, 1.002, 0.5]  # as rounding makes them
    assert "38 of 39 boxes are within 0 to 1: this looks normalised" in only_fault(coco_files)


def test_a_val_of_crowds_alone_is_a_fault(coco_files):
    for one in coco_files.content["val"]["annotations"]:
        one["iscrowd"] = 1
    assert "no image of val holds an object to be found" in checked(coco_files)[0][0]
    for one in coco_files.content["val"]["annotations"]:
        one["iscrowd"] = "0"
    assert checked(coco_files)[0] == []


def test_batches_tell_padding_as_frames_do(coco_files):
    batch = next(iter(checked(coco_files, padding=True)[2].loader("val")))
    filled = np.stack([frame.filled().numpy() for frame in batch.frames])
    assert filled.any() and (batch.padding.numpy() == filled).all()


def test_boxes_by_their_corners_are_a_fault(coco_files):
    for one in coco_files.annotations:
        one["bbox"] = [20, 15, 30, 25]
    assert "9 of 9 boxes leave their image" in (fault := only_fault(coco_files))
    assert "this looks like xyxy" in fault


def test_missing_and_broken_images_are_faults_unless_left_out(coco_files):
    (coco_files.root / "images" / "2.png").unlink()
    path = coco_files.root / "images" / "3.png"
    path.write_bytes(path.read_bytes()[:500])
    faults, _, data = checked(coco_files)
    assert any("2.png: No such file" in fault for fault in faults)
    assert any("3.png: cannot be read to its end" in fault for fault in faults)
    assert "data.on_bad_image" in faults[-1]
    faults, _, data = checked(coco_files, on_bad_image="skip", batch_size=3)
    assert faults == []
    (batch,) = data.loader("train")
    assert len(batch.left_out) == 2
    assert batch.index.tolist() == [0]
    assert batch.objects.counts == (3,)


def test_annotations_of_unknown_images_are_faults(coco_files):
    coco_files.annotations[0]["image_id"] = 99
    assert "the image is not listed: ann 100: image 99 (1 in all)" in only_fault(coco_files)


def test_ids_as_text_in_one_place_and_as_numbers_in_another_are_a_fault(coco_files):
    for one in coco_files.annotations:
        one["image_id"] = str(one["image_id"])
    faults = checked(coco_files)[0]
    assert "'10' is not 10" in faults[0]
    assert "(9 in all)" in faults[0]


def test_ids_that_come_twice_are_faults(coco_files):
    coco_files.annotations[3]["id"] = 100
    assert "annotations have the same id; all but one would be lost: ann 100" in only_fault(
        coco_files
    )
    coco_files.annotations[3]["id"] = 200
    coco_files.images.append(dict(coco_files.images[0]))
    assert "images have the same id; all but one would be lost: image 10" in only_fault(coco_files)


def test_a_category_that_is_not_listed_is_a_fault(coco_files):
    coco_files.annotations[2]["category_id"] = 4
    fault = only_fault(coco_files)
    assert "the category is not listed: ann 102: 4 (1 in all)" in fault


def test_other_categories_in_val_are_a_fault(coco_files):
    coco_files.content["val"]["categories"] = [{"id": 7, "name": "cow"}, {"id": 9, "name": "owl"}]
    fault = next(line for line in checked(coco_files)[0] if "differ from those of train" in line)
    assert "val.json" in fault
    assert "lacks 3 'cat'; adds 9 'owl'; calls 7 'cow', not 'dog'" in fault


def test_a_category_without_boxes_is_a_warning(coco_files):
    for content in coco_files.content.values():
        content["categories"].append({"id": 1, "name": "animals"})
    warning, data = only_warning(coco_files)
    assert "no box is of the category 'animals'" in warning
    assert data.facts.class_names == ("animals", "cat", "dog")


def test_the_class_map_is_contiguous_whatever_the_ids(coco_files):
    data = checked(coco_files)[2]
    assert data.facts.class_ids == (3, 7)
    assert data.facts.class_names == ("cat", "dog")
    (batch,) = data.loader("val")
    assert batch.objects.labels.tolist() == [0, 1, 1, 0, 1, 1]
    truth = data.ground_truth("val")
    assert [one["category_id"] for one in truth["annotations"]] == [3, 7, 7, 3, 7, 7]


def test_boxes_that_come_twice_are_a_warning(coco_files):
    again = {**coco_files.annotations[0], "id": 999}
    coco_files.annotations.append(again)
    warning, data = only_warning(coco_files)
    assert "the same box and category as another of its image, kept: ann 999 (1 in all)" in warning
    assert data.describe()["train"]["objects"] == 10


def test_images_without_boxes_are_kept_and_counted(coco_files):
    del coco_files.annotations[:3]
    warning, data = only_warning(coco_files)
    assert "1 of 3 images have no object; they are kept" in warning
    assert data.lengths["train"] == 3
    assert data.describe()["train"]["empty"] == 1


def test_crowds_are_for_the_metric_alone(coco_files):
    runs = {"size": [30, 40], "counts": [0, 30, 30 * 39]}
    coco_files.annotations[0] |= {"iscrowd": 1, "segmentation": runs}
    warning, data = only_warning(coco_files, batch_size=3)
    assert "1 crowds; they are not trained on" in warning
    (batch,) = data.loader("train")
    assert sum(batch.objects.counts) == 8
    truth = data.ground_truth("train")["annotations"]
    assert [one["iscrowd"] for one in truth] == [1] + 8 * [0]
    assert data.describe()["train"]["per_class"] == {"cat": 2, "dog": 6}


def test_an_empty_segmentation_is_a_warning(coco_files):
    coco_files.annotations[0]["segmentation"] = []
    assert "1 annotations have an empty `segmentation`" in only_warning(coco_files)[0]


def test_masks_that_are_asked_for_and_missing_or_broken_are_faults(coco_files):
    for one in (*coco_files.annotations, *coco_files.content["val"]["annotations"]):
        one["segmentation"] = [[2, 3, 8, 3, 8, 9]]
    assert checked(coco_files, masks=True)[0] == []
    coco_files.annotations[0]["segmentation"] = [[1, 2, 3, 4]]
    coco_files.annotations[1]["segmentation"] = {"size": [40, 30], "counts": "abc"}
    coco_files.annotations[2]["segmentation"] = {"size": [30, 40], "counts": [1, 2]}
    fault = only_fault(coco_files, masks=True)
    assert "ann 100: a polygon that is no list of three or more" in fault
    assert "ann 101: a mask of [40, 30] pixels" in fault
    assert "ann 102: run lengths of 3 pixels in an image of 1200" in fault
    assert checked(coco_files)[0] == []  # nobody asked for them
    for one in coco_files.annotations:
        del one["segmentation"]
    fault = only_fault(coco_files, masks=True)
    assert "there is no `segmentation`, which data.masks=true asks for" in fault
    assert "(9 in all)" in fault


def save_turned(path, width, height, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = 255  # bright where the stored image begins
    Image.fromarray(pixels).save(path, exif=exif)


def test_the_orientation_whose_size_matches_is_taken(coco_files):
    save_turned(coco_files.root / "images" / "1.png", 30, 40, orientation=6)
    assert checked(coco_files)[:2] == ([], [])
    upright = checked(coco_files)[2].picture("train", 0)
    assert upright.size == (40, 30)
    assert upright.getpixel((39, 0)) == (255, 255, 255)  # turned by a quarter to the right
    save_turned(coco_files.root / "images" / "1.png", 40, 30, orientation=6)
    warning, data = only_warning(coco_files)
    assert "1 images are annotated as they lie in the file" in warning
    assert data.picture("train", 0).getpixel((0, 0)) == (255, 255, 255)


def test_a_turn_that_the_size_does_not_tell_is_a_warning(coco_files):
    save_turned(coco_files.root / "images" / "1.png", 40, 40, orientation=6)
    coco_files.images[0]["height"] = 40
    warning, data = only_warning(coco_files)
    assert "1 images are turned by EXIF, and their size does not tell" in warning
    assert data.picture("train", 0).getpixel((39, 0)) == (255, 255, 255)


def test_a_size_that_is_neither_is_a_fault(coco_files):
    coco_files.images[1]["width"] = 80
    faults, _, data = checked(coco_files)
    assert len(faults) == 1
    assert "2.png: is 40×30 pixels, but the annotations speak of 80×30" in faults[0]
    assert "train.json: 1 images have another size" in faults[0]
    with pytest.raises(ValueError, match=r"2\.png: is 40×30"):
        data.dataset("train", training=False).__getitems__([Key(0, 1)])


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_file_without_one_of_its_lists_is_a_fault(coco_files, key):
    coco_files.content["train"][key[:-1]] = coco_files.content["train"].pop(key)
    (fault,) = checked(coco_files)[0]
    assert f"has no list '{key}'" in fault
    assert f"Did you mean '{key[:-1]}'?" in fault


def test_files_that_are_no_json_or_not_there_are_faults(coco_files):
    data = Coco(root=coco_files.write(), image_size=32, train_file="annotations/tain.json")
    assert "there is no file" in str(data.faults()[0])
    assert "train.json" in str(data.faults()[0])
    (coco_files.root / "annotations" / "train.json").write_text("{")
    assert "is no JSON" in str(Coco(root=str(coco_files.root), image_size=32).faults()[0])


def test_more_objects_than_queries_are_a_warning_with_the_most(coco_files):
    data = checked(coco_files)[2]
    assert data.too_many_objects(3) is None
    assert "an image of train holds 3 objects, more than the 2 queries" in data.too_many_objects(2)


def test_annotations_are_renumbered_and_areas_computed_for_the_metric(coco_files):
    coco_files.annotations[0]["id"] = 0
    del coco_files.annotations[0]["area"]
    del coco_files.annotations[1]["area"]
    coco_files.annotations[1]["segmentation"] = [[10, 3, 16, 3, 16, 9]]  # half of its box
    faults, warnings, data = checked(coco_files)
    assert (faults, warnings) == ([], [])
    truth = data.ground_truth("train")["annotations"]
    assert [one["id"] for one in truth] == list(range(1, 10))
    assert truth[0]["area"] == 30
    assert truth[1]["area"] == pytest.approx(18, abs=4)


def test_images_in_two_splits_are_a_fault(coco_files):
    coco_files.content["val"]["images"][0]["file_name"] = "1.png"
    (fault,) = checked(coco_files)[0]
    assert "val.json: 1 images are in train too" in fault


def test_files_without_any_image_or_object_are_faults(coco_files):
    coco_files.annotations.clear()
    assert "no training image holds any object" in "".join(checked(coco_files)[0])
    coco_files.images.clear()
    assert "train holds no image" in "".join(checked(coco_files)[0])


def test_all_faults_come_in_one_list(coco_files):
    coco_files.annotations[0]["bbox"] = None
    coco_files.annotations[1]["image_id"] = 99
    coco_files.annotations[2]["category_id"] = 99
    coco_files.images[1]["width"] = 80
    (coco_files.root / "images" / "5.png").unlink()
    assert len(checked(coco_files)[0]) >= 5


def test_the_fingerprint_changes_with_a_box_a_picture_and_the_split(coco_files):
    prints = [checked(coco_files)[2].fingerprint()]
    assert checked(coco_files, batch_size=2)[2].fingerprint() == prints[0]
    coco_files.annotations[0]["bbox"][0] += 1
    prints.append(checked(coco_files)[2].fingerprint())
    coco_files.annotations[0]["iscrowd"] = 1
    prints.append(checked(coco_files)[2].fingerprint())
    Image.new("RGB", (40, 30)).save(coco_files.root / "images" / "1.png")
    prints.append(checked(coco_files)[2].fingerprint())
    prints.append(checked(coco_files, val_file=None, val_fraction=0.34)[2].fingerprint())
    assert len(set(prints)) == 5


CHECK = """
import json, sys, time
from vit.data.coco import Coco

begun = time.perf_counter()
data = Coco(root=sys.argv[1], image_size=32, masks=True)
answers = [str(fault) for fault in data.faults()], data.warnings()
data.describe(), data.fingerprint()
print(json.dumps([*answers, time.perf_counter() - begun]))
"""


@pytest.mark.slow
def test_a_hundred_thousand_annotations_are_checked_within_a_minute(coco_files):
    generator = np.random.default_rng(0)
    images = coco_files.root / "images"
    first = (images / "1.png").read_bytes()
    coco_files.images.clear()
    coco_files.annotations.clear()
    for number in range(10_000):
        (images / f"many{number}.png").write_bytes(first)
        one = {"id": number, "file_name": f"many{number}.png", "width": 40, "height": 30}
        coco_files.images.append(one)
    for number, (x, y, w, h) in enumerate(generator.uniform(1, 14, (100_000, 4)).tolist()):
        outline = [[x, y, x + w, y, x + w, y + h]]
        more = {"segmentation": outline}
        one = coco_files.annotation(number + 1, number // 10, 3 + 4 * (number % 2), [x, y, w, h])
        coco_files.annotations.append({**one, **more})
    coco_files.annotations[5000]["bbox"][2] = 0
    for one in coco_files.content["val"]["annotations"]:
        one["segmentation"] = [[2, 3, 8, 3, 8, 9]]
    # By itself: the types that tests check take some 25 seconds for a million small calls.
    checked = subprocess.run(
        [sys.executable, "-c", CHECK, coco_files.write()], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    faults, warnings, seconds = json.loads(checked.stdout)
    assert faults == []
    assert any("ann 5001: width 0" in line for line in warnings)
    print(f"{seconds:.1f} s")
    assert seconds < 60


@pytest.mark.parametrize(
    ("outline", "said"),
    [
        ({"size": [30, 40], "counts": "zzzz"}, "no count"),
        ({"size": [30, 40], "counts": "oooo…"}, "no count"),
        ({"size": [30, 40], "counts": "\ud800"}, "no count"),
        ({"size": [30, 40], "counts": "o"}, "no count"),  # another letter is to follow
        ({"size": [30, 40], "counts": "3"}, "run lengths of 3 pixels in an image of 1200"),
        ({"size": [30.0, 40.0], "counts": [1200]}, "a mask of [30.0, 40.0] pixels"),
        ([[1, 2, 3, 4, 5, 10**400]], "beyond 400 pixels"),
        ([[1, 2, 3, 4, 5, 1e9]], "beyond 400 pixels"),
    ],
)
def test_outlines_that_would_break_the_decoder_are_faults(outline, said):
    assert said in outline_fault(outline, 30, 40)


def test_run_lengths_as_text_are_read_as_coco_writes_them():
    draw = np.random.default_rng(0)
    for height, width in draw.integers(1, 90, (50, 2)).tolist():
        mask = draw.random((height, width)) < draw.random()
        result = run_lengths_of_mask(mask)
        flat = np.concatenate([[0], mask.flatten("F"), [2]])
        wanted = np.diff(np.flatnonzero(np.diff(flat)), prepend=0).tolist()
        assert counts_of(result["counts"]) == wanted
        assert outline_fault(result, height, width) == ""


def test_faults_of_data_are_reported_once(coco_files):
    coco_files.annotations[0]["bbox"] = [0, 0, "wide", 3]
    words = ["experiment=detection", "backbone.pretrained=false", "data.image_size=64"]
    words += [f"data.root={coco_files.write()}", "backbone.name=test_vit", "data.train_sizes=[]"]
    (fault,) = preflight(compose(words)).faults
    assert fault.where.endswith("train.json")


@pytest.mark.parametrize(("message", "is_one"), [("False", False), (1.0, True), (None, False)])
def test_crowds_are_marked_by_numbers_and_by_words(coco_files, message, is_one):
    coco_files.annotations[0]["iscrowd"] = message
    truth = Coco(root=coco_files.write(), image_size=32).ground_truth("train")["annotations"]
    assert [bool(one["iscrowd"]) for one in truth[:2]] == [is_one, False]


def test_a_crowd_that_is_neither_yes_nor_no_is_a_fault(coco_files):
    coco_files.annotations[0]["iscrowd"] = 2
    fault = only_fault(coco_files)
    assert "iscrowd is 2 of annotation 100" in fault and "1 in all" in fault


def test_classes_of_one_name_are_reported_apart_by_their_ids(coco_files):
    for content in coco_files.content.values():
        content["categories"] = [{"id": 7, "name": "cat"}, {"id": 3, "name": "cat"}]
    data = Coco(root=coco_files.write(), image_size=32)
    assert data.faults() == []
    assert data.describe()["train"]["per_class"] == {"cat (3)": 3, "cat (7)": 6}


def test_outlines_as_fractions_are_a_fault(coco_files):
    for one in (*coco_files.annotations, *coco_files.content["val"]["annotations"]):
        one["segmentation"] = [[0.1, 0.1, 0.3, 0.1, 0.3, 0.3]]
    faults = checked(coco_files, masks=True)[0]
    assert "9 of 9 `segmentation`s are within 0 to 1: this looks normalised" in faults[0]


def test_names_that_lead_back_into_the_folder_are_listed(coco_files):
    coco_files.images[0]["file_name"] = "../images/1.png"
    coco_files.images[1]["file_name"] = str(coco_files.root / "images" / "2.png")
    assert checked(coco_files)[:2] == ([], [])


def test_categories_of_one_name_are_a_warning(coco_files):
    for content in coco_files.content.values():
        content["categories"][1]["name"] = "dog"
    assert "7, 3 are all called 'dog'" in only_warning(coco_files)[0]


def test_categories_that_differ_by_capitals_are_a_warning(coco_files):
    for content in coco_files.content.values():
        content["categories"][1]["name"] = "Dog"
    assert "the classes 'Dog', 'dog' differ by capitals" in only_warning(coco_files)[0]
