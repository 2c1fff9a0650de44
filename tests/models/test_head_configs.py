"""Every file under conf/head that makes a detector builds the one it promises."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vit.build import build
from vit.models.backbone import ViT
from vit.models.detector import Detector

CONF = Path(__file__).parents[2] / "conf"
NECKS = sorted(path.stem for path in (CONF / "head/neck").glob("*.yaml"))
PLAIN = ("deformable", "boxrpb", "detr", "tokens", "masks")
DENOISING = sorted(path.stem for path in (CONF / "head/denoising").glob("*.yaml"))
CHOICES = [*PLAIN, *(f"{head} {neck}" for head in ("deformable", "boxrpb") for neck in NECKS)]


def made(choice, *overrides):
    head, _, neck = choice.partition(" ")
    chosen = [f"+head={head}", *([f"head/neck={neck}"] if neck else []), *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose(overrides=chosen), resolve=True)
    body = ViT((32, 32), 3, dim=16, depth=4, heads=2, patch_size=8)
    given = {"dim": 16, "num_classes": 7, "patch_size": 8, "depth": 4}
    return Detector(body, build(config["head"], **given))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_makes_a_detector(choice):
    with torch.device("meta"):
        model = made(choice)
        stage = model(torch.rand(2, 3, 32, 32)).answer
    assert stage.logits.shape[-1] == 7 + model.head.no_object


@pytest.mark.parametrize(
    "keys", [(), ("head.blocks=[0,-1]",), ("head.decoder=segmenter", "head.num_layers=1")]
)
def test_every_patch_gets_its_classes(keys):
    with torch.device("meta"):
        logits = made("semantic", *keys)(torch.rand(2, 3, 32, 32)).logits
    assert logits.shape == (2, 7, 4, 4)


@pytest.mark.parametrize("name", DENOISING)
@pytest.mark.parametrize("head", ["deformable", "boxrpb"])
def test_copies_of_objects_are_made_where_they_are_asked_for(head, name):
    with torch.device("meta"):
        plain, model = made(head).head, made(head, f"head/denoising={name}").train()
        found = model(torch.rand(2, 3, 32, 32)).denoised
    assert plain.denoising is None
    assert (found is None) if name == "none" else (found.positive.sum() >= 100)


def test_sizes_can_be_set():
    small = ["width=16", "num_queries=5", "num_layers=1", "heads=2", "cross_heads=4", "points=1"]
    keys = [f"head.{setting}" for setting in [*small, "hidden=32", "groups=2"]]
    model = made("deformable", *keys, "head.neck.blocks=[-1]", "head.neck.bottlenecks=1")
    assert model.train()(torch.rand(1, 3, 32, 32)).answer.logits.shape == (1, 10, 7)
    assert model.head.neck.blocks == (3,)


@pytest.mark.parametrize(
    "path",
    [CONF / f"head/{name}.yaml" for name in (*PLAIN, "semantic")]
    + sorted((CONF / "head/neck").glob("*.yaml"))
    + sorted((CONF / "head/denoising").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_files_of_heads_open_with_purpose_and_command(path):
    lines = [line for line in path.read_text().splitlines() if "@package" not in line]
    first, second = lines[:2]
    assert first.startswith("# ") and first.endswith(".")
    assert second.startswith("# vit train ")
