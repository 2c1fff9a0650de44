from typing import Literal

import pytest
import yaml

from vit.build import locate
from vit.cli.compose import config_folder
from vit.schema import fits, given_by_code, part_faults, readable, slot_faults

VIT = {"_target_": "vit.models.backbone.ViT"}


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, True),
        (3.5, int, False),
        (True, int, False),
        ("abc", int, False),
        (3, float, True),
        ("1e-3", float, False),
        (None, int | None, True),
        (None, int, False),
        ("crop", Literal["crop", "squash"], True),
        ("corp", Literal["crop", "squash"], False),
        ([0.9, 0.99], tuple[float, float], True),
        ([0.9], tuple[float, float], False),
        ([1, "a"], list[int], False),
        ([1, 2, 3], tuple[int, ...], True),
        ({"a": 1}, dict[str, int], True),
        ({"_target_": "torch.nn.GELU"}, int, True),  # its own check follows
    ],
)
def test_yaml_values_are_held_against_annotations(value, hint, expected):
    assert fits(value, hint) is expected


def test_a_misspelt_key_and_a_wrong_type_are_told_together():
    node = {"_target_": "torch.optim.AdamW", "lr": 0.1, "wieght_decay": 0.1, "amsgrad": "no"}
    faults = part_faults({**node, "params": []}, "optim", [])
    assert [fault.where for fault in faults] == ["optim.wieght_decay", "optim.amsgrad"]
    assert "Did you mean 'weight_decay'?" in faults[0].message
    assert "true or false" in faults[1].message


def test_a_needed_key_that_is_absent_is_told():
    faults = part_faults({"_target_": "torch.nn.Linear", "in_features": 1}, "head", [])
    assert [fault.where for fault in faults] == ["head.out_features"]


def test_faults_of_parts_inside_parts_are_found():
    node = {
        "_target_": "torch.nn.TransformerEncoder",
        "num_layers": 1,
        "encoder_layer": {"_target_": "os.system", "command": "true"},
    }
    faults = part_faults(node, "backbone", [])
    assert [fault.where for fault in faults] == ["backbone.encoder_layer._target_"]


def test_types_read_as_a_person_says_them():
    assert readable(int | None) == "a whole number or null"
    assert readable(Literal["a", "b"]) == "one of 'a', 'b'"


def test_what_stands_before_the_star_is_given_by_code_and_what_comes_after_it_is_config():
    head = {"_target_": "vit.models.classifier.Head", "dim": 3, "dropout": 0.1}
    (fault,) = part_faults(head, "head", [])
    assert (fault.where, "take it out" in fault.message) == ("head.dim", True)
    norm = {"_target_": "vit.layers.norm.RMSNorm", "_partial_": True, "dim": 4}
    (fault,) = part_faults({**VIT, "norm": norm}, "backbone", [])
    assert fault.where == "backbone.norm.dim"
    (fault,) = slot_faults("data", {"_target_": "vit.data.folder.Folder"}, [])
    assert fault.where == "data.root" and "must be given" in fault.message


def test_what_the_data_give_a_task_is_no_config():
    published = {"_target_": "vit.tasks.segmentation.Segmentation", "published": None}
    assert [fault.where for fault in part_faults(published, "task", [])] == ["task.published"]
    weighted = {"_target_": "vit.tasks.classification.Classification", "class_weights": [1.0]}
    assert [fault.where for fault in part_faults(weighted, "task", [])] == ["task.class_weights"]


OWN = """
from dataclasses import dataclass
from torch import nn
from vit.data.digits import Digits

class Head(nn.Module):
    def __init__(self, dim, num_classes, depth, *, width, channels=3):
        super().__init__()

@dataclass(eq=False)
class Data(Digits):
    file: str
"""


def test_a_part_of_ones_own_may_be_given_what_its_own_constructor_asks_for(tmp_path, monkeypatch):
    """No list says what heads take: `depth` and `channels` are this one's own settings."""
    (tmp_path / "schemahead.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    node = {"_target_": "schemahead.Head", "depth": 2, "width": 8, "channels": 1}
    assert part_faults(node, "head", ["schemahead"]) == []
    (fault,) = part_faults({**node, "widht": 8}, "head", ["schemahead"])
    assert fault.where == "head.widht"
    del node["width"]
    assert [fault.where for fault in part_faults(node, "head", ["schemahead"])] == ["head.width"]
    data = {"_target_": "schemahead.Data"}
    (fault,) = part_faults(data, "data", ["schemahead"])
    assert fault.where == "data.file" and "must be given" in fault.message


def targets(node):
    if isinstance(node, dict):
        found = [(node["_target_"], node)] if "_target_" in node else []
        return found + [each for value in node.values() for each in targets(value)]
    return []


def test_no_shipped_file_sets_what_code_gives():
    checked = 0
    for path in config_folder().rglob("*.yaml"):
        for target, node in targets(yaml.safe_load(path.read_text())):
            assert given_by_code(locate(target)).isdisjoint(node), path
            checked += 1
    assert checked > 90
