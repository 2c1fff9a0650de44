from typing import Literal

import pytest

from vit.check.schema import fits, part_faults, readable


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
    faults = part_faults(node, "optim", {"params"}, [])
    assert [fault.where for fault in faults] == ["optim.wieght_decay", "optim.amsgrad"]
    assert "Did you mean 'weight_decay'?" in faults[0].message
    assert "true or false" in faults[1].message


def test_a_needed_key_that_is_absent_is_told():
    faults = part_faults({"_target_": "torch.nn.Linear", "in_features": 1}, "head", (), [])
    assert [fault.where for fault in faults] == ["head.out_features"]


def test_faults_of_parts_inside_parts_are_found():
    node = {
        "_target_": "torch.nn.TransformerEncoder",
        "num_layers": 1,
        "encoder_layer": {"_target_": "os.system", "command": "true"},
    }
    faults = part_faults(node, "backbone", (), [])
    assert [fault.where for fault in faults] == ["backbone.encoder_layer._target_"]


def test_types_read_as_a_person_says_them():
    assert readable(int | None) == "a whole number or null"
    assert readable(Literal["a", "b"]) == "one of 'a', 'b'"
