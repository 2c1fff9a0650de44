"""Commands that take a run's own config, whatever stands in it."""

import dataclasses
import functools
import json

import pytest
import yaml
from safetensors import safe_open

from vit.cli import evaluate, run
from vit.cli.compose import compose
from vit.facts import Facts
from vit.faults import Refused
from vit.jobs.export import export as exported
from vit.jobs.training import train
from vit.runs.checkpoint import write_checkpoint
from vit.runs.directory import RunFolder
from vit.runs.environment import FromEnvironment
from vit.tasks.assembly import assemble_model


@functools.cache
def small():
    return compose(["experiment=digits", "tracking=none", "trainer=cpu", "threads=1"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"trainer": None},
        {"data": [1]},
        {"tracking": "wandb"},
        {"trainer": {**small()["trainer"], "devices": "x"}},
        {"trainer": {**small()["trainer"], "num_nodes": 0}},
        {"threads": None},
        {"threads": 100_000},
        {"name": 3},
    ],
)
def test_a_frozen_config_that_cannot_be_trained_is_refused(tmp_path, wrong):
    text = yaml.safe_dump({**small(), **wrong})
    (tmp_path / "config.yaml").write_text(text)
    (key,) = wrong
    for start in (lambda: run.main([str(tmp_path)]), lambda: train(tmp_path)):
        with pytest.raises(Refused) as told:
            start()
        assert key in str(told.value)


def test_what_came_with_an_upgrade_may_be_missing(tmp_path, monkeypatch):
    older = {key: value for key, value in small().items() if key not in ("compile", "watch", "ema")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**older, "later": 1}))
    monkeypatch.setattr("vit.jobs.training.train", lambda *_: 0)
    assert run.main([str(tmp_path)]) == 0
    assert RunFolder(tmp_path).config()["later"] == 1


def test_other_values_of_data_keep_what_comes_from_the_environment():
    root, split = FromEnvironment("/photos", "${oc.env:PHOTOS}"), {"a": [1]}
    config = {"data": {"root": root, "batch_size": 4, "other": [root], "map": split}}
    told = evaluate.changed_data(config, ["data.batch_size=8"], ())
    assert told == {"root": "/photos", "batch_size": 8, "other": ["/photos"], "map": split}
    assert told["root"] is root and told["other"][0] is root
    assert type(evaluate.changed_data(config, ["data.root=/other"], ())["root"]) is str


def test_exported_weights_hold_no_value_of_a_variable_and_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTE", "a private note")
    words = ["experiment=digits", "trainer=cpu", "threads=1", "backbone.depth=1"]
    secret = ["tracking.notes=${oc.env:NOTE}", "tracking.project=password:hunter2"]
    folder = RunFolder(tmp_path / "run")
    folder.freeze(compose([*words, *secret]))
    facts = Facts(2, ("a", "b"), (8, 8), 1, (0.5,), (0.25,))
    weights = assemble_model(folder.config(), facts).state_dict()
    content = {"state_dict": {f"model.{key}": value for key, value in weights.items()}}
    write_checkpoint({**content, "facts": dataclasses.asdict(facts)}, folder.best_checkpoint)
    exported(str(folder.path), str(tmp_path / "a.safetensors"))
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        told = json.loads(file.metadata()["config"])["tracking"]
    assert told["notes"] == "${oc.env:NOTE}" and "hunter2" not in json.dumps(told)
