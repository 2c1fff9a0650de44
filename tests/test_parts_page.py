"""The parts that docs/parts.md writes: the check takes them, and a model of them is trained."""

import warnings

import pytest
from pages import module_of

import vit
from vit.check.preflight import plain_report
from vit.cli.compose import compose
from vit.jobs.training import train
from vit.runs.directory import RunFolder
from vit.runs.record import read_records

OWN = "parts_of_the_page"
SMALL = ["data=digits", "data.image_size=32", "tracking=none", "trainer=cpu", "threads=1"]
SMALL += ["trainer.max_epochs=6", "data.batch_size=8", "checkpoint.monitor=val/loss"]
SMALL += ["checkpoint.mode=min"]


@pytest.fixture(scope="module", autouse=True)
def page(tmp_path_factory):
    with module_of("parts.md", OWN, tmp_path_factory.mktemp("own")) as module:
        yield module


def own(name, **keys):
    return {"_target_": f"{OWN}.{name}", **keys}


def config_of(**parts):
    config = {**compose(SMALL), **parts, "allow_targets": [OWN]}
    kept = {k: v for k, v in config["data"].items() if k != "_target_"}
    config["data"] = {**kept, **own("Stripes", count=128), "augment": own("Inverted")}
    return config


def test_a_model_of_the_parts_is_checked_and_learns(tmp_path):
    parts = {"backbone": own("ConvNet", width=16), "head": own("MaxHead")}
    config = config_of(**parts, optim=own("Momentum", lr=0.02), schedule=own("Triangle"))
    report = plain_report(config, None, False)
    assert report["faults"] == [] and report["tokens"] == 16
    folder = RunFolder(tmp_path / "run")
    folder.freeze(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert train(folder.path, [OWN]) == 0
    rows = [row.metrics for row in read_records(folder.metrics_file)]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses[-1] < losses[0]
    trained = vit.load(folder.path, allow_targets=[OWN])
    assert trained.class_names == ("lying", "standing")


def test_the_attention_of_the_page_stands_in_our_backbone(page):
    backbone = compose([*SMALL, "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"])
    attention = own("GatedAttention", _partial_=True)
    chosen = {**backbone["backbone"], "patch_size": 8, "attention": attention}
    plain = {**backbone["backbone"], "patch_size": 8}
    costs = [plain_report(config_of(backbone=each), None, False) for each in (chosen, plain)]
    assert [cost["faults"] for cost in costs] == [[], []]
    more, less = (cost["gflops_per_image"] * 1e9 for cost in costs)
    assert round(more - less) == 2 * 16 * 16 * 16  # tokens · dim · dim


def test_a_member_that_is_missing_is_named():
    config = config_of(backbone=own("MaxHead", dim=4, num_classes=2))
    (fault,) = [
        each for each in plain_report(config, None, False)["faults"] if each["where"] == "backbone"
    ]
    assert "is not made for images" in fault["message"]
