import argparse

import pytest

from vit.doors.compose import add_compose_arguments, compose, compose_runs
from vit.faults import Refused


def arguments(*words):
    parser = argparse.ArgumentParser()
    add_compose_arguments(parser)
    return parser.parse_args(list(words))


def faults(*words):
    with pytest.raises(Refused) as refused:
        compose_runs(arguments(*words))
    return [str(fault) for fault in refused.value.faults]


def test_the_name_is_readable_and_follows_the_numbers():
    one = compose(["experiment=digits"])
    assert one["name"].startswith("digits-")
    assert compose(["experiment=digits", "tracking=none"])["name"] == one["name"]
    assert compose(["experiment=digits", "seed=1"])["name"] != one["name"]


def test_threads_are_frozen_as_a_number():
    assert compose([])["threads"] >= 1
    assert compose(["threads=3"])["threads"] == 3


def test_every_misspelt_key_is_told_with_the_nearest():
    told = faults("seeed=3", "backbone.dpth=4", "optim.lr=0.1")
    assert len(told) == 2
    assert "Did you mean 'seed'?" in told[0]
    assert "Did you mean 'depth'?" in told[1]


def test_an_unknown_choice_lists_the_known():
    (told,) = faults("data=digitz")
    assert "digits" in told and "Did you mean 'digits'?" in told


def test_interpolations_that_lead_nowhere_are_all_told():
    told = faults("seed=${nope}", "backbone.depth=${nor.this}")
    assert len(told) == 2


def test_a_value_that_must_be_given_is_named():
    assert any("data.root" in line for line in faults("data=folder"))


def test_words_that_are_no_override_are_told():
    (told,) = faults("--", "backbone.depth")
    assert "override" in told


def test_a_sweep_without_m_is_refused_and_with_m_gives_every_point():
    assert "-m" in faults("seed=1,2")[0]
    runs = compose_runs(arguments("-m", "seed=1,2", "backbone.depth=2,3"))
    assert [(run.config["seed"], run.config["backbone"]["depth"]) for run in runs] == [
        (1, 2),
        (1, 3),
        (2, 2),
        (2, 3),
    ]
    assert len({run.run_dir for run in runs}) == 4


def test_hydras_folders_are_respected(tmp_path):
    (run,) = compose_runs(arguments(f"hydra.run.dir={tmp_path}/here"))
    assert run.run_dir == tmp_path / "here"
    (run,) = compose_runs(arguments("-m", f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=a"))
    assert run.run_dir == tmp_path / "a"


def test_a_folder_of_the_users_own_adds_configs(tmp_path, monkeypatch):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nbackbone:\n  depth: 7\n"
    )
    monkeypatch.chdir(tmp_path)
    assert compose(["experiment=mine"])["backbone"]["depth"] == 7


def test_a_recorded_question_composes_from_its_own_folder(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "defaults: [train, override experiment: digits, _self_]\nseed: 5\n"
    )
    (run,) = compose_runs(arguments("--config-dir", str(tmp_path), "--config-name", "run"))
    assert run.config["seed"] == 5
    assert run.config["backbone"]["dim"] == 64


@pytest.mark.parametrize("debug", ["one_batch", "overfit", "profile", "limited"])
def test_debug_modes_compose(debug):
    compose(["experiment=digits", f"debug={debug}"])


def test_a_folder_that_does_not_resolve_is_told():
    assert "hydra.run.dir" in faults("hydra.run.dir=${nope}")[0]


def test_configs_are_found_below_folders_of_any_name(tmp_path, monkeypatch):
    odd = tmp_path / "it's (mine) ü~&"
    (odd / "conf" / "experiment").mkdir(parents=True)
    (odd / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 9\n")
    monkeypatch.chdir(odd)
    assert compose(["experiment=mine"])["seed"] == 9


def test_a_group_set_to_nothing_is_told():
    assert "checkpoint=null" in faults("checkpoint=null")[0]
