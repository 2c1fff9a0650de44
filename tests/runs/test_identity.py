"""The same config has the same hash, whatever its keys are made of."""

import yaml

from vit.runs.identity import config_hash, group_id


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
