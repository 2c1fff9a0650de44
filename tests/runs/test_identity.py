"""The same config has the same hash, whatever its keys are made of."""

import pytest
import yaml

from vit.faults import Refused
from vit.review import configurations
from vit.runs import identity
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash, differences, group_id, trial_id


def test_keys_of_mixed_types_have_a_hash(tmp_path):
    classes = yaml.safe_load("{1: person, cat: 2, null: 3, 2.5: 4, true: 5}")
    config = {"seed": 0, "data": {"classes": classes}}
    turned = {"data": {"classes": dict(reversed(classes.items()))}, "seed": 0}
    assert config_hash(config) == config_hash(turned)
    assert group_id(config) == group_id({**config, "seed": 7})
    as_words = {"seed": 0, "data": {"classes": {**classes, "1": "person"}}}
    assert config_hash(as_words) != config_hash(config)


def test_hashes_of_configs_on_disk_stay_what_they_were():
    config = {"seed": 1, "optim": {"lr": 0.1}, "name": "a", "checkpoint": {"keep_last": 2}}
    assert config_hash(config) == "79c7c32ee9e598d2cff5d419cb742272770ae339"


BEFORE = {"seed": 1, "backbone": {"dim": 8}, "data": {"batch_size": 4}}
AFTER = {"seed": 1, "backbone": {"dim": 8, "weights": None}, "data": {"batch_size": 4}}


@pytest.fixture()
def upgraded(monkeypatch):
    """A vit in which backbone.weights and a whole group came later."""
    added = {"backbone.weights": None, "privacy": {"epsilon": None}}
    for module in (identity, configurations):
        monkeypatch.setattr(module, "ADDED", added)


def test_a_key_that_came_later_renames_no_run_while_it_changes_nothing(upgraded):
    for name in (config_hash, group_id, lambda config: trial_id(config, "data")):
        assert name(BEFORE) == name(AFTER) == name({**AFTER, "privacy": {"epsilon": None}})
        assert name(BEFORE) != name({**AFTER, "backbone": {"dim": 8, "weights": "dino"}})
        assert name(BEFORE) != name({**AFTER, "privacy": {"epsilon": 8}})
        assert name(BEFORE) != name({**AFTER, "backbone": {"dim": 8, "weights": 0}})


def test_a_folder_from_before_a_key_goes_on_and_keeps_its_config(upgraded, tmp_path):
    folder = RunFolder(tmp_path)
    folder.freeze({**BEFORE, "schema_version": 1})
    folder.set_state("preempted")
    folder.refuse_conflicts({**AFTER, "schema_version": 1})
    folder.freeze({**AFTER, "schema_version": 1})
    assert folder.config() == {**BEFORE, "schema_version": 1}
    other = {**AFTER, "schema_version": 1, "backbone": {"dim": 8, "weights": "dino"}}
    with pytest.raises(Refused, match=r"backbone\.weights: None, now 'dino'"):
        folder.refuse_conflicts(other)


def test_what_differs_leaves_out_a_key_that_changes_nothing(upgraded):
    assert differences(BEFORE, AFTER) == differences(AFTER, BEFORE) == []
    assert differences(BEFORE["backbone"], AFTER["backbone"], "backbone.") == []
    far = {**AFTER, "backbone": {"dim": 8, "weights": "dino"}}
    assert differences(far, BEFORE) == ["backbone.weights: 'dino', now None"]
    assert differences(BEFORE, {**AFTER, "new": 1}) == ["new: new"]
