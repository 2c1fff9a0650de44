import json
import os

import pytest

from vit.faults import Refused
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash, differences, group_id, trial_id
from vit.runs.state import RunState
from vit.runs.writing import write_text

CONFIG = {"schema_version": 1, "name": "a", "seed": 0, "data": {"root": "x", "batch_size": 8}}


def test_a_frozen_config_comes_back_as_it_was(tmp_path):
    folder = RunFolder(tmp_path / "run")
    small = {**CONFIG, "lr": 1e-5, "list": [1, 2.5, None, True, "1e-3"]}
    folder.freeze(small)
    assert folder.config() == small
    assert folder.state().name == "planned"


def test_a_folder_of_another_config_is_refused_with_the_difference(tmp_path):
    folder = RunFolder(tmp_path)
    folder.freeze(CONFIG)
    folder.refuse_conflicts({**CONFIG, "name": "renamed"})
    with pytest.raises(Refused, match="seed: 0, now 1"):
        folder.refuse_conflicts({**CONFIG, "seed": 1})


def test_a_folder_in_which_a_live_process_trains_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.freeze(CONFIG)
    folder.set_state("running")
    with folder.locked(), pytest.raises(Refused, match=f"process {os.getpid()}"):
        folder.refuse_conflicts(CONFIG)
    folder.refuse_conflicts(CONFIG)  # a state that a dead process left behind is no obstacle


def test_a_config_of_an_unknown_schema_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.freeze({**CONFIG, "schema_version": 99})
    with pytest.raises(Refused, match="99"):
        folder.config()


def test_a_half_written_file_never_takes_the_place_of_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_text(path, "whole")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_text(path, "half")
    assert path.read_text() == "whole"


def test_differences_name_the_key_with_its_path():
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}) == ["a.b: 1, now 3"]


def test_identity_ignores_what_changes_no_number():
    assert config_hash(CONFIG) == config_hash({**CONFIG, "name": "b", "tracking": {"mode": "x"}})
    assert config_hash(CONFIG) != config_hash({**CONFIG, "seed": 1})
    assert group_id(CONFIG) == group_id({**CONFIG, "seed": 1})
    elsewhere = {**CONFIG, "data": {"root": "y", "batch_size": 8}}
    assert trial_id(CONFIG, "same pixels") == trial_id(elsewhere, "same pixels")
    assert trial_id(CONFIG, "same pixels") != trial_id(CONFIG, "other pixels")


def test_how_checkpoints_are_written_makes_no_other_run_and_may_change(tmp_path):
    before = {**CONFIG, "checkpoint": {"monitor": "val/loss"}}  # from before there were such keys
    now = {**CONFIG, "checkpoint": {"monitor": "val/loss", "keep_last": 3, "sharded": False}}
    assert config_hash(before) == config_hash(now)
    folder = RunFolder(tmp_path)
    folder.freeze(before)
    folder.set_state("preempted")
    folder.refuse_conflicts(now)
    folder.freeze({**now, "name": "not this"})
    assert folder.config() == now
    assert folder.state().name == "preempted"
    with pytest.raises(Refused, match=r"checkpoint\.monitor"):
        folder.refuse_conflicts({**now, "checkpoint": {"monitor": "val/accuracy"}})


def test_a_state_is_read_as_it_was_written_and_a_newer_versions_keys_are_left(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.state() == RunState() and folder.spent() == {}
    folder.set_state("failed", exit_code=1, error="no", train_seconds=2.5, log_tail=["a", "b"])
    state = folder.state()
    assert (state.name, state.error, state.exit_code) == ("failed", "no", 1)
    assert state.log_tail == ("a", "b") and state.owner.pid == os.getpid()
    assert folder.spent() == {"train_seconds": 2.5} and state.kind is None
    plain = json.loads(folder.state_file.read_text())
    assert [*plain] == [
        *("schema_version", "state", "started", "updated", "owner"),
        *("exit_code", "error", "train_seconds", "log_tail"),
    ]
    folder.state_file.write_text(json.dumps({**plain, "of_a_newer_vit": {"a": 1}}))
    assert folder.state() == state
    folder.state_file.write_text(json.dumps({**plain, "exit_code": "one"}))
    assert folder.state() == RunState()
