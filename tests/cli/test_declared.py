"""What is read of a class without importing it is what Python says of it."""

import inspect
import subprocess
import sys

import pytest
import yaml

from vit.build import locate
from vit.cli.compose import config_folder
from vit.cli.declared import declared


def targets(node):
    if isinstance(node, dict):
        found = [node["_target_"]] if "_target_" in node else []
        return found + [each for value in node.values() for each in targets(value)]
    return []


SHIPPED = sorted(
    {
        target
        for path in config_folder().rglob("*.yaml")
        for target in targets(yaml.safe_load(path.read_text()))
    }
)


@pytest.mark.parametrize("target", SHIPPED)
def test_every_class_of_the_shipped_configs_is_read_as_it_is(target):
    """Ours and others': names in their order, what is config, and what must be given."""
    signature = inspect.signature(locate(target)).parameters.values()
    wanted = [
        (each.name, each.kind is each.KEYWORD_ONLY, each.default is each.empty)
        for each in signature
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    found = declared(target)
    assert found is not None
    read = found.parameters.values()
    assert [(each.name, each.keyword, each.default is None) for each in read] == wanted
    assert found.takes_any == any(each.kind is each.VAR_KEYWORD for each in signature)


def test_types_are_told_as_a_yaml_file_has_them():
    folder = declared("vit.data.folder.Folder").parameters
    assert folder["image_size"].type == "int or [int, int] or null"
    assert folder["fit"].choices == ("crop", "squash")
    assert folder["augment"].type == "part"
    attention = declared("vit.layers.attention.Attention").parameters
    assert attention["start"].choices == ("normal", "glorot")  # a name for a type, elsewhere
    points = declared("vit.tasks.detection.Detection").parameters["num_points"]
    assert points.default == "12544"  # a name for a number, elsewhere


def test_a_class_is_explained_by_its_docstring_its_bases_and_the_comments_in_it():
    digits = declared("vit.data.digits.Digits").parameters
    assert "all devices" in digits["batch_size"].about  # of the base of all data
    assert declared("vit.data.augment.CropFlip").parameters["flip"].about == "probability"
    assert "start" in declared("vit.layers.mlp.Mlp").parameters["start"].about


def test_what_an_owner_decides_of_its_parts_is_known():
    vit = declared("vit.models.backbone.ViT")
    assert {"qkv_bias", "dropout", "heads"} <= vit.decides["attention"]
    assert "start" not in vit.decides["attention"]


def test_what_is_no_python_source_is_not_read():
    for target in ("math.sqrt", "no.such.Module", "vit.layers.attention.Nothing", "", "vit"):
        assert declared(target) is None


def test_reading_imports_no_torch():
    code = (
        "import sys; from vit.cli.declared import declared; "
        "assert declared('pytorch_lightning.Trainer').parameters['max_epochs']; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
