"""Tuned runs as folders: looked at, and with a config that somebody has edited."""

import pytest
import torch
import yaml
from PIL import Image
from tiny_runs import WORDS, freeze

from vit.explain.attend import attend
from vit.faults import Refused
from vit.trained import load


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    return {
        name: freeze(folder / name, [*WORDS["classes"], f"tuning={name}", *more])
        for name, more in (("lora", ["tuning.rank=2", "tuning.targets=[mlp]"]), ("head", []))
    }


@pytest.mark.parametrize("name", ["lora", "head"])
def test_a_loaded_run_is_one_that_was_never_tuned(tuned, name):
    model = load(tuned[name]).model
    assert all(each.requires_grad for each in model.parameters()) and not model.training
    assert not any(getattr(each, "stays_still", False) for each in model.modules())
    assert model.train().backbone.blocks[0].training
    images = torch.randn(1, 1, 32, 32)
    model(images).sum().backward()
    assert model.backbone.patch.proj.weight.grad is not None


BAD = {
    "rank": ("4", "tuning.rank"),
    "ranks": (4, "tuning.ranks"),
    "targets": (["x"], "tuning.targets"),
    "alpha": (float("nan"), "tuning.alpha"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_tuning_that_was_edited_is_refused_by_its_key(tuned, tmp_path, key):
    value, where = BAD[key]
    with edited(tuned["lora"], {key: value}), pytest.raises(Refused, match=where):
        load(tuned["lora"])


def test_a_tuning_that_does_not_go_with_the_model_is_refused(tuned):
    for tuning, said in (
        ({"rank": 5000}, "tuning: rank=5000 is more than a layer"),
        ({"_target_": "vit.tuning.freezing.Tuning"}, "tuning"),
        ({"_target_": "vit.tuning.of_config.tuning_of"}, "takes Tuning"),
    ):
        with edited(tuned["lora"], tuning), pytest.raises(Refused, match=said):
            load(tuned["lora"])


class edited:
    """A run's config with other values of its tuning, meanwhile."""

    def __init__(self, run, values):
        self.file, self.values = run / "config.yaml", values

    def __enter__(self):
        self.before = self.file.read_text()
        config = yaml.safe_load(self.before)
        if "_target_" in self.values:
            config["tuning"] = self.values
        else:
            config["tuning"] |= self.values
        self.file.write_text(yaml.safe_dump(config))

    def __exit__(self, *_):
        self.file.write_text(self.before)


@pytest.mark.parametrize("name", ["lora", "head"])
def test_attention_is_read_from_a_tuned_run(tuned, tmp_path, name):
    Image.new("L", (32, 32), 90).save(tmp_path / "grey.png")
    picture, out = str(tmp_path / "grey.png"), str(tmp_path)
    found = attend(str(tuned[name]), [picture], "best", "cpu", (), out, [], None, 0.5)
    assert found["images"] and (tmp_path / "attend.html").exists()
