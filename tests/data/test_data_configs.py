"""Every YAML file of conf/data composes and names keys and types that its class takes."""

from dataclasses import fields

import pytest

from vit.build import build_slot
from vit.cli.compose import compose, config_folder
from vit.schema import slot_faults

DATA = sorted(file.stem for file in (config_folder() / "data").glob("*.yaml"))
AUGMENT = sorted(file.stem for file in (config_folder() / "data" / "augment").glob("*.yaml"))
AUGMENT_BOXES = sorted(
    file.stem for file in (config_folder() / "data" / "augment_boxes").glob("*.yaml")
)
AUGMENT_MAPS = sorted(
    file.stem for file in (config_folder() / "data" / "augment_maps").glob("*.yaml")
)
MUST = ["data.root=photos", "data.table=t.csv", "data.path=name"]


def composed(*words):
    needs = {"table": MUST[1], "huggingface": MUST[2], "text_table": "data.train=t.tsv"}
    needs["box_table"] = "data.train=t.csv"
    needs |= dict.fromkeys(
        ("folder", "wav_folder", "imagenet", "coco", "voc", "yolo", "mask_folder", "coco_panoptic"),
        MUST[0],
    )
    kind = words[0].split("=")[1]
    return compose([*words, *([needs[kind]] if kind in needs else [])])["data"]


@pytest.mark.parametrize("kind", [name for name in DATA if not name.endswith("base")])
def test_every_kind_of_data_is_what_its_class_takes(kind):
    node = composed(f"data={kind}")
    assert slot_faults("data", node, ()) == []
    data = build_slot("data", {"data": node}, seed=3)
    assert data.seed == 3
    missing = {field.name for field in fields(data)} - set(node) - {"seed"}
    assert not missing, "keys that only the class knows cannot be overridden by name"


@pytest.mark.parametrize("augment", AUGMENT_BOXES)
def test_every_augmentation_of_boxes_goes_with_detection_data(augment):
    node = composed("data=digit_scenes", f"data/augment_boxes={augment}")
    assert slot_faults("data", node, ()) == []
    data = build_slot("data", {"data": {**node, "train_scenes": 20}}, seed=0)
    assert len(next(iter(data.loader("train")))) == 16


@pytest.mark.parametrize("augment", AUGMENT_MAPS)
def test_every_augmentation_of_maps_goes_with_segmentation_data(augment):
    node = composed("data=digit_scenes_semantic", f"data/augment_maps={augment}")
    assert slot_faults("data", node, ()) == []
    data = build_slot("data", {"data": {**node, "train_scenes": 20}}, seed=0)
    assert len(next(iter(data.loader("train")))) == 16


@pytest.mark.parametrize("augment", AUGMENT)
def test_every_augmentation_goes_with_every_kind_that_has_its_own(augment):
    node = composed("data=digits", f"data/augment={augment}")
    assert slot_faults("data", node, ()) == []
    build_slot("data", {"data": node}, seed=0).loader("train")


def test_the_frame_of_a_policy_is_chosen_apart():
    node = composed("data=cifar10", "data/augment=randaugment", "data/augment/frame=crop_flip")
    assert node["augment"]["frame"]["_target_"] == "vit.data.augment.CropFlip"
    assert "scale" not in node["augment"]["frame"]


OPTIONS = {"augment": AUGMENT, "augment_boxes": AUGMENT_BOXES, "augment_maps": AUGMENT_MAPS}
KINDS = [name for name in DATA if not name.endswith("base")]


def require_all_augmentations(kind, options=OPTIONS):
    group = next((group for group in OPTIONS if group in composed(f"data={kind}")), None)
    for augment in options.get(group, ()):
        node = composed(f"data={kind}", f"data/{group}={augment}")
        assert slot_faults("data", node, ()) == [], f"{kind}, {augment}"
        build_slot("data", {"data": node}, seed=0)


@pytest.mark.parametrize("kind", ["folder", "fashion_mnist", "wav_folder"])
def test_what_a_kind_of_data_sets_of_its_augmentation_fits_others(kind):
    require_all_augmentations(kind, {"augment": ["three_augment", "none"]})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_augmentation_goes_on_every_shipped_data(kind):
    require_all_augmentations(kind)


@pytest.mark.parametrize("kind", ["folder", "table", "huggingface"])
def test_small_sets_are_cropped_gently_and_only_by_random_resized_crop(kind):
    chosen = composed(f"data={kind}", "data/augment=random_resized_crop")["augment"]
    assert chosen == composed(f"data={kind}")["augment"]
    assert chosen["scale"] == [0.35, 1.0]
    assert composed(f"data={kind}", "data/augment=affine")["augment"]["scale"] == [0.9, 1.1]
