"""Every file under conf/backbone and conf/head builds the model it promises."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vit.build import build
from vit.models.classifier import Classifier

CONF = Path(__file__).parents[2] / "conf"
TINY = ["backbone.dim=16", "backbone.depth=2", "backbone.heads=2", "backbone.patch_size=4"]


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def model(*overrides, size=(16, 24), channels=3, backbone="vit"):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose(overrides=[f"+backbone={backbone}", "+head=linear", *overrides])
    config = OmegaConf.to_container(composed, resolve=True)
    built = build(config["backbone"], image_size=size, channels=channels)
    return Classifier(built, build(config["head"], dim=built.dim, num_classes=7))


@pytest.mark.parametrize(
    "choice",
    [
        f"{group}={name}"
        for group in [f"backbone/{part}" for part in ("patch", "position", "norm", "mlp")]
        + ["backbone/attention", "head/pool"]
        for name in choices(group)
    ],
)
def test_every_part_can_be_chosen(choice):
    further = ["backbone.class_token=true"] if choice == "head/pool=cls" else []
    chosen = model(*TINY, choice, *further)
    assert chosen(torch.randn(2, 3, 16, 24)).shape == (2, 7)


SIZES = {  # millions of parameters with a class token and without a head; width, depth, heads
    "vit_ti": (5.52, 192, 12, 3, 16),
    "vit_s": (21.67, 384, 12, 6, 16),
    "vit_b": (85.80, 768, 12, 12, 16),
    "vit_l": (303.30, 1024, 24, 16, 16),
    "vit_h": (630.76, 1280, 32, 16, 14),
    "vit_g": (1011.20, 1408, 40, 16, 14),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_of_the_papers(name):
    millions, dim, depth, heads, patch_size = SIZES[name]
    with torch.device("meta"):
        backbone = model("backbone.class_token=true", size=(224, 224), backbone=name).backbone
    assert (backbone.dim, backbone.depth, backbone.heads) == (dim, depth, heads)
    assert backbone.patch_size == patch_size
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)


def test_the_files_of_sizes_differ_in_nothing_else():
    torch.manual_seed(0)
    free = model(*TINY)
    for name in SIZES:
        torch.manual_seed(0)
        sized = model(*TINY, "backbone.mlp_ratio=4.0", backbone=name)
        for key, value in free.state_dict().items():
            assert torch.equal(sized.state_dict()[key], value)


def test_every_model_file_is_tested():
    assert set(choices("backbone")) == {"vit", "timm", "text", *SIZES}


def test_a_model_of_timm_can_be_chosen():
    chosen = model("backbone.name=test_vit", size=(32, 32), channels=1, backbone="timm")
    assert chosen(torch.randn(2, 1, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    "path", sorted((CONF / "backbone").rglob("*.yaml")), ids=lambda path: path.stem
)
def test_files_open_with_purpose_and_command(path):
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ") and first.endswith(".")
    assert second.startswith("# vit train ")
