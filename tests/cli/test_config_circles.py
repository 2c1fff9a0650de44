"""A config that takes itself in is told by the way it does, however long."""

from itertools import pairwise

import pytest

from vit.cli.compose import compose
from vit.cli.config_circles import circle_fault
from vit.faults import Refused


def circle(folder, names):
    """Each takes in the next, and the last the first."""
    for name, following in pairwise([*names, names[0]]):
        (folder / f"{name}.yaml").write_text(f"defaults:\n- {following}\n- _self_\n")


def refusal(folder, *words):
    with pytest.raises(Refused) as refused:
        compose([f"--config-dir={folder}", *words])
    (fault,) = refused.value.faults
    return fault


@pytest.mark.parametrize(
    ("names", "told"),
    [("a", "a → a."), ("ab", "a → b → a."), ("abc", "a → b → c → a.")],
)
def test_a_primary_config_that_takes_itself_in_is_told(tmp_path, names, told):
    circle(tmp_path, names)
    fault = refusal(tmp_path, "--config-name=a")
    assert fault.where == str(tmp_path / "a.yaml")
    assert fault.message.startswith("takes itself in") and told in fault.message


@pytest.mark.parametrize("entry", ["mine", "/data/mine", "optional /data: mine"])
def test_so_is_one_of_a_group_that_a_word_chooses(tmp_path, entry):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("defaults: [other]\nroot: x\n")
    (tmp_path / "data" / "other.yaml").write_text(f"defaults:\n- {entry}\n")
    fault = refusal(tmp_path, "data=mine")
    assert fault.where == str(tmp_path / "data" / "mine.yaml")
    assert "data/mine → data/other → data/mine" in fault.message


def test_a_long_circle_is_cut_and_one_that_begins_later_names_its_own_file(tmp_path):
    names = [f"n{at}" for at in range(1_500)]
    circle(tmp_path, names)
    (tmp_path / "start.yaml").write_text("defaults: [n7]\n")
    fault = circle_fault([tmp_path], "start", [])
    assert fault.where == str(tmp_path / "n7.yaml")
    assert "n7 → n8 → n9 → … → n5 → n6 → n7 (1500 files)" in fault.message


def test_files_that_two_others_take_in_are_no_circle(tmp_path):
    for name, below in {"a": "[b, c]", "b": "[d]", "c": "[d]", "d": "[_self_]"}.items():
        (tmp_path / f"{name}.yaml").write_text(f"defaults: {below}\n")
    assert circle_fault([tmp_path], "a", ["x=1", "~y", "+data=mine"]) is None
