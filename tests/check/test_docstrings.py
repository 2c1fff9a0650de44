"""Whatever a config can name is explained: the class by a docstring, each of its keys by a word."""

import pytest
import yaml

from vit.cli.compose import config_folder
from vit.cli.config_groups import choosable
from vit.cli.declared import declared
from vit.cli.remarks import remarks


def parts(node, path=()):
    """Every part of a YAML file with its place there."""
    if isinstance(node, dict):
        if str(node.get("_target_", "")).startswith("vit."):
            yield path, node["_target_"]
        for key, value in node.items():
            yield from parts(value, (*path, key))


def explained():
    """Class → the keys that comments of conf explain, in the files that name it."""
    found = {}
    folder = config_folder()
    for file in sorted(folder.rglob("*.yaml")):
        group = file.parent.relative_to(folder).as_posix()
        said = remarks([folder], group, file.stem)
        for path, target in parts(yaml.safe_load(file.read_text())):
            above = "".join(f"{key}." for key in path)
            keys = found.setdefault(target, set())
            keys |= {key.removeprefix(above) for key in said if key.startswith(above)}
    return found


EXPLAINED = explained()


@pytest.mark.parametrize("target", sorted(EXPLAINED))
def test_every_class_that_a_config_can_name_and_each_of_its_keys_is_explained(target):
    found = declared(target)
    assert found is not None and found.about, f"{target} has no docstring"
    bare = [
        name
        for name, each in found.settings().items()
        if not each.about and name not in EXPLAINED[target] and each.type != "part"
    ]
    assert not bare, f"{target}: say what these are: {', '.join(bare)}"


def test_the_walk_sees_what_is_shipped():
    assert len(EXPLAINED) > 75
    assert "vit.data.digits.Digits" in EXPLAINED
    assert choosable([config_folder()], "data", ["base", "digits"]) == ["digits"]
