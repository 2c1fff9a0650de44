"""A task brings its parts where none that fit it are chosen; what is chosen wins."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from vit.check.misfits import PARTS
from vit.check.preflight import preflight
from vit.cli import shell
from vit.cli.compose import compose, compose_runs, config_folder
from vit.cli.task_recipe import MONITOR, STANDARD, STANDARD_MONITOR
from vit.faults import Refused

VOC = ["task=detection", "data=voc", "data.root=x"]
SMALL = ["backbone.dim=16", "backbone.depth=1", "backbone.heads=2", "threads=1", "trainer=cpu"]
RECIPES = sorted((config_folder() / "recipe").glob("*.yaml"))


def chosen(words):
    config = compose(words)
    return {
        "head": config["head"]["_target_"].split(".")[-1],
        "backbone": config["backbone"]["_target_"].split(".")[-1],
        **{key: config["checkpoint"][key] for key in ("monitor", "mode")},
        **{key: config["trainer"][key] for key in ("max_epochs", "gradient_clip_val")},
    }


BROUGHT = {
    "head": "DeformableHead",
    "backbone": "ViT",
    "monitor": "val/ap",
    "mode": "max",
    "max_epochs": 50,
    "gradient_clip_val": 0.1,
}


def coco(root):
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    images = []
    for number in range(8):
        Image.new("RGB", (32, 32), (number * 20, 90, 40)).save(root / f"images/{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 32, "height": 32})
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [4, 4, 9, 9], "area": 81, "iscrowd": 0}
        for n in range(8)
    ]
    made = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cell"}]}
    (root / "annotations/train.json").write_text(json.dumps(made))
    return [f"data.root={root}", "data.image_size=32", "backbone.patch_size=8"]


def masks(root):
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (32, 32), (number * 20, 90, 40)).save(root / f"images/{number}.png")
        mask = Image.new("L", (32, 32), 0)
        mask.paste(1, (0, 0, 16, 32))
        mask.save(root / f"masks/{number}.png")
    (root / "classes.txt").write_text("ground\nleaf\n")
    return [f"data.root={root}", "data.image_size=32", "backbone.patch_size=8"]


def table(root):
    root.mkdir()
    rows = [f"word{n} tail{n % 3}\tclass{n % 2}\n" for n in range(60)]
    (root / "texts.tsv").write_text("".join(rows))
    return [f"data.train={root / 'texts.tsv'}", "data.vocabulary=300"]


def pairs(root):
    return [*table(root), "data.target=text"]


def captions(root):
    return ["data.train_scenes=8", "data.val_scenes=4", "backbone.patch_size=8"]


@pytest.mark.parametrize(
    ("task", "data", "made"),
    [
        ("detection", "coco", coco),
        ("segmentation", "mask_folder", masks),
        ("text_classification", "text_table", table),
        ("text_to_text", "text_table", pairs),
        ("captioning", "digit_captions", captions),
    ],
)
def test_a_task_and_data_pass_the_check(tmp_path, task, data, made):
    small = [*SMALL, *made(tmp_path / "set")]
    if task == "detection":
        small += ["head.width=32", "head.num_layers=1", "head.hidden=32", "head.num_queries=9"]
    report = preflight(compose([f"task={task}", f"data={data}", *small]))
    assert [str(fault) for fault in report.faults] == []


def test_all_of_a_recipe_comes():
    assert chosen(VOC) == BROUGHT


@pytest.mark.parametrize(
    ("words", "other"),
    [
        (["head=detr"], {"head": "DetrHead"}),
        (["checkpoint.monitor=val/ap50"], {"monitor": "val/ap50"}),
        (["checkpoint.monitor=val/loss", "checkpoint.mode=min"], {"monitor": "val/loss"}),
        (["trainer.max_epochs=10"], {"max_epochs": 10}),
        (["trainer=gpu"], {}),
        (["head.num_queries=9"], {}),
        (["head/neck=pyramid"], {}),
        (["experiment=digits"], {"monitor": "val/loss", "mode": "min"}),
        (["experiment=cifar10"], {"max_epochs": 200}),
        (["head=linear"], {"head": "Head"}),
    ],
)
def test_what_is_chosen_wins(words, other):
    if "checkpoint.mode=min" in words:
        other = {**other, "mode": "min"}
    assert chosen([*words, *VOC]) == {**BROUGHT, **other}


def test_a_mode_comes_with_its_monitor_only():
    words = ["task=text_to_text", "data=number_words"]
    assert chosen(words) == {
        **BROUGHT,
        **{"head": "TextDecoder", "backbone": "TokenTransformer", "monitor": "val/loss"},
        **{"mode": "min", "max_epochs": 10, "gradient_clip_val": 1.0},
    }
    other = chosen([*words, "checkpoint.monitor=val/chrf"])
    assert (other["monitor"], other["mode"]) == ("val/chrf", "max")


def test_words_that_fit_get_nothing_but_what_they_say():
    full = chosen([*VOC, "head=deformable", "checkpoint.monitor=val/ap"])
    assert full == {**BROUGHT, "max_epochs": 10, "gradient_clip_val": 1.0}
    asked = [*VOC, "head=deformable", "checkpoint.monitor=val/ap", "recipe=detection"]
    assert chosen(asked) == BROUGHT


def test_files_of_ones_own_win_and_bring(tmp_path, monkeypatch):
    own = {
        "trainer/mine.yaml": "defaults: [auto, _self_]\nmax_epochs: 7\n",
        "checkpoint/mine.yaml": "defaults: [best_and_last, _self_]\nmonitor: val/loss\nmode: min\n",
        "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /task: detection\n"
        "  - override /data: digit_scenes\ntrainer: {max_epochs: 10}\n",
    }
    for name, text in own.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    files = chosen([*VOC, "trainer=mine", "checkpoint=mine"])
    assert files == {**BROUGHT, "max_epochs": 7, "monitor": "val/loss", "mode": "min"}
    assert chosen(["experiment=mine"]) == {**BROUGHT, "max_epochs": 10}


@pytest.mark.slow
def test_a_sweep_composes_each_point_as_a_run_alone():
    words = ["data=digit_scenes", "task=detection", "head=detr", "threads=1"]
    axes = ["checkpoint.monitor=val/ap,val/ap50", "optim.lr=0.1,0.2"]
    arguments = Namespace(
        overrides=[*words, *axes], config_dir=None, config_name="train", multirun=True
    )
    swept = [each.config for each in compose_runs(arguments)]
    alone = [
        compose([*words, f"checkpoint.monitor={monitor}", f"optim.lr={lr}"])
        for monitor in ("val/ap", "val/ap50")
        for lr in (0.1, 0.2)
    ]
    assert swept == alone and swept[0]["trainer"]["max_epochs"] == 10
    brought = Namespace(**{**vars(arguments), "overrides": ["optim.lr=0.1,0.2", *VOC]})
    assert [each.config["trainer"]["max_epochs"] for each in compose_runs(brought)] == [50, 50]


@pytest.mark.parametrize("words", [VOC, ["experiment=digits", *VOC]])
def test_cfg_job_shows_the_same(capsys, words):
    shell.show("train", [*words, "--cfg", "job", "--resolve"])
    shown = yaml.safe_load(capsys.readouterr().out)
    config = compose(words)
    assert all(shown[key] == config[key] for key in ("head", "checkpoint", "trainer", "backbone"))


def test_a_slip_is_one_fault_beside_what_is_brought():
    with pytest.raises(Refused) as refused:
        compose([*VOC, "head.num_querys=9"])
    (fault,) = refused.value.faults
    assert "num_queries" in fault.message


def test_the_standard_is_what_the_primary_config_has():
    config = compose([])
    assert config["checkpoint"]["monitor"] == STANDARD_MONITOR and MONITOR == "checkpoint.monitor"
    for group, (option, target) in STANDARD.items():
        assert config[group]["_target_"] == target
        assert compose([f"{group}={option}"]) == config


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_words_of_a_misfit_name_what_the_recipe_has(file: Path):
    recipe = yaml.safe_load(file.read_text())
    words = [
        f"{group.removeprefix('override /')}={option}"
        for each in recipe["defaults"]
        for group, option in each.items()
    ]
    words += [f"checkpoint.{key}={value}" for key, value in recipe.get("checkpoint", {}).items()]
    assert list(PARTS[file.stem]) == words
