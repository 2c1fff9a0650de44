import argparse

import pytest

from vit.cli.compose import add_compose_arguments, compose, compose_runs
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


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data=[1]", "there is box_table, cifar10"),
        ("data=[[1]]", "there is box_table, cifar10"),
        ("sweep=[1]", "there is asha"),
        ("+a=" + "x" * 60_000, "at most 50,000"),
        ("a=" + "[" * 3_000 + "]" * 3_000, "nested too deeply"),
        ("name=../../x", "leads elsewhere"),
        ("hydra.run.dir=" + "a/" * 2_000, "shorter path"),
    ],
)
def test_an_odd_word_is_one_fault(word, said):
    (told,) = faults(word)
    assert said in told


@pytest.mark.parametrize(
    "words",
    [
        ["seed=range(100000000)"],
        ["seed=range(0,1,1e-9)"],
        ["seed=shuffle(range(100000000))"],
        ["seed=range(0,1,0.0)"],
        [f"+k{at}=1,2,3,4,5,6,7,8" for at in range(12)],
    ],
)
def test_a_grid_without_end_is_refused_at_once(words):
    (told,) = faults("-m", *words)
    assert "at most 10,000" in told


@pytest.mark.parametrize("word", ["sweep.name=../x", "hydra.sweep.dir=" + "a" * 300])
def test_a_sweeps_name_and_folder_are_looked_at_too(word):
    (told,) = faults("-m", "seed=1,2", word)
    assert told.startswith(word.partition("=")[0])


def test_a_config_that_is_no_yaml_is_told_with_its_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: 1\nb: [1\nc: }")
    (told,) = faults("-cd", str(tmp_path), "-cn", "mine")
    assert "mine.yaml, line 3" in told


def test_a_name_that_no_file_can_have_is_no_config():
    (told,) = faults("-cn", "x" * 400)
    assert told.startswith("--config-name")


@pytest.mark.parametrize(
    "words",
    [
        ["data=folder"],  # data.root must be given
        ["experiment=digits", "seed=1,2"],
        ["experiment=digits", "a b=1"],
        ["experiment=digits", "name=../x"],
    ],
)
def test_no_refusal_of_words_hides_the_config(words):
    with pytest.raises(Refused) as refused:
        compose_runs(arguments(*words, "optim.lr=-1"))
    assert refused.value.rest["optim"]["lr"] == -1
