"""Values from the environment: used as values, written by name, refused where they are gone."""

import copy
import json
import pickle

import pytest
import yaml

from vit.cli.compose import compose
from vit.faults import Refused
from vit.runs.directory import RunFolder
from vit.runs.environment import FromEnvironment, by_name, hidden, with_values
from vit.runs.files import read_json
from vit.runs.identity import config_hash
from vit.runs.privacy import held_by
from vit.runs.stamp import LEFT_OUT, stamp

SMALL = ["experiment=digits", "trainer=cpu"]


def test_a_config_has_the_value_and_is_written_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTE", "a private note")
    words = [
        "tracking.notes=${oc.env:NOTE}",
        "tracking.entity=${tracking.notes}",
        "tracking.project='${oc.env:NOTE} ${seed} ${oc.env:ABSENT,default}'",
    ]
    config = compose([*SMALL, *words, "tracking.mode=offline"])
    assert config["tracking"]["notes"] == "a private note" == config["tracking"]["entity"]
    assert config["tracking"]["project"] == "a private note 0 default"
    folder = RunFolder(tmp_path / "run")
    folder.freeze(config)
    text = folder.config_file.read_text()
    assert "private" not in text and text.count("${oc.env:NOTE}") == 3
    assert folder.config() == config == with_values(by_name(config))
    folder.refuse_conflicts(config)
    monkeypatch.setenv("NOTE", "another")
    assert folder.config()["tracking"]["entity"] == "another"
    monkeypatch.delenv("NOTE")
    with pytest.raises(Refused, match=r"tracking\.notes.*variable NOTE is not set"):
        folder.config()
    assert folder.written_config()["tracking"]["notes"] == "${oc.env:NOTE}"


def test_the_name_of_a_run_counts_the_value(monkeypatch):
    monkeypatch.setenv("SPLIT", "7")
    plain = compose([*SMALL, "data.split_seed=7"])
    decoded = compose([*SMALL, "data.split_seed='${oc.decode:${oc.env:SPLIT}}'"])
    assert config_hash(decoded) == config_hash(plain) and decoded["name"] == plain["name"]
    monkeypatch.setenv("MONITOR", "val/loss")
    named = compose([*SMALL, "checkpoint.monitor=${oc.env:MONITOR}"])
    assert named["name"] == compose([*SMALL, "checkpoint.monitor=val/loss"])["name"]
    assert by_name(named)["checkpoint"]["monitor"] == "${oc.env:MONITOR}"


def test_the_shipped_mode_of_wandb_is_kept_as_the_run_was_begun(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = compose(SMALL)
    assert by_name(config)["tracking"]["mode"] == "offline"
    assert not isinstance(config["tracking"]["mode"], FromEnvironment)


def test_such_a_value_is_text_that_can_be_copied_and_sent():
    value = FromEnvironment("secret", "${oc.env:X}")
    for same in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert same == "secret" and same.named == value.named
    assert json.loads(json.dumps({"a": value})) == {"a": "secret"}
    assert hidden({"a": [value], "b": FromEnvironment("tiny", "x")}) == {"secret": "${oc.env:X}"}


def test_parts_get_plain_text(monkeypatch):
    from vit.build import build_slot

    node = {"_target_": "vit.runs.tracking.Wandb", "notes": FromEnvironment("a", "${oc.env:A}")}
    assert type(build_slot("tracking", {"tracking": node}).notes) is str


def test_only_variables_are_looked_up_in_a_frozen_config():
    node = {"a": "${oc.create:1} ${seed} ${hydra:x}", "b": "${oc.env:NOPE_NOPE,x}", "c": 3}
    assert with_values(node) == {**node, "b": "x"}
    assert yaml.safe_dump(by_name(with_values(node))) == yaml.safe_dump(node)


def test_state_and_stamp_hold_no_keys(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.set_state("failed", error="no way to https://me:hunter2@host", log_tail=["password=a1"])
    assert "hunter2" not in folder.state_file.read_text()
    assert read_json(folder.state_file)["log_tail"] == ["password=***"]
    diff = "+password = 'hunter2'\n+x = 1\n"
    answers = {"rev-parse": "abc", "config": "", "diff": diff, "ls-files": ""}
    monkeypatch.setattr("vit.runs.stamp._output", lambda _, word, *__, **___: answers[word])
    told = stamp(["vit", "train", "+data.password=hunter2"], {}, [])
    assert "hunter2" not in json.dumps(told) and "+x = 1" in told["git"]["diff"]
    monkeypatch.setenv("VIT_STAMP_DIFF", "0")
    assert stamp([], {}, [])["git"]["diff"] == LEFT_OUT
    answers["diff"] = ""
    assert stamp([], {}, [])["git"]["diff"] == ""


def test_all_that_is_held_is_listed_with_its_values(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTE", "a private note")
    monkeypatch.chdir(tmp_path)
    words = ["tracking.notes=${oc.env:NOTE}", "tracking.project=password:hunter2"]
    config = compose([*SMALL, *words, "tracking.mode=offline"])
    rows = held_by(config, ["vit", "train", *words])
    told = "\n".join(f"{row.where} {row.what} {row.value}" for row in rows)
    assert "private" not in told and "hunter2" not in told
    for held in (str(tmp_path), "${oc.env:NOTE}", "tracking.project", "host"):
        assert held in told
    for file in ("stamp.json", "state.json", "splits.json", "wandb/", "report.html", "log.txt"):
        assert file in told
    assert "README.md" in told and "results.png" in told
