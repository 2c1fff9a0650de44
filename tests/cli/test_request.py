"""What a sweep's words ask for, before anything is run."""

import argparse
from types import SimpleNamespace

import pytest

from vit.cli.compose import add_compose_arguments, composer
from vit.cli.grammar import read_words
from vit.cli.sweep_request import request_of
from vit.faults import Refused
from vit.runs.check_report import MetricsReport, RunReport
from vit.sweeps.sweep import Sweep, visible_gpus
from vit.sweeps.words import sweep_name


def sweep(*words):
    parser = argparse.ArgumentParser()
    add_compose_arguments(parser)
    parser.set_defaults(full=False, allow_changed=False)
    arguments = parser.parse_args(["-m", "experiment=digits", *words])
    with composer(arguments) as compose_one:
        return Sweep(request_of(arguments, list(words), compose_one))


def refusal(*words):
    with pytest.raises(Refused) as refused:
        sweep(*words)
    return str(refused.value)


def test_a_metric_of_ones_own_wants_its_direction():
    assert sweep("seed=0,1").objective.modes == ["min"]  # val/loss, the monitor
    assert "sweep.mode" in refusal("seed=0,1", "sweep.metric=val/accuracy")
    chosen = sweep("seed=0,1", "sweep.metric=[val/accuracy,parameters]", "sweep.mode=[max,min]")
    assert (chosen.objective.metrics, chosen.objective.modes) == (
        ["val/accuracy", "parameters"],
        ["max", "min"],
    )
    assert "sweep.mode" in refusal("sweep.metric=[val/loss,steps]", "sweep.mode=[max]")


def test_policies_that_cannot_be_meant_are_told():
    assert "sampler" in refusal("sweep.sampler=null")
    assert "sweep.jobs" in refusal("sweep.jobs=0")
    assert "taken away" in refusal("~sweep")
    assert "starts above 0" in refusal("optim.lr=tag(log,interval(0,1))")


def test_braces_without_quotes_are_answered_by_the_quoted_word():
    with pytest.raises(Refused, match="both kinds of quotes") as refused:
        read_words(["data.pattern={class}_{take}"])
    quoted = str(refused.value).split(": ")[-1].strip().strip("'")
    assert read_words([quoted]).fixed == ['data.pattern="{class}_{take}"']


def test_a_sweep_keeps_its_name_while_values_grow_and_changes_it_with_what_is_fixed():
    def name(*words):
        return sweep_name(read_words(list(words)), "digits")

    one = name("seed=0,1", "backbone.depth=4")
    assert one.startswith("digits-seed-")
    assert name("seed=0,1,2", "backbone.depth=4") == one
    assert name("backbone.depth=4", "seed=range(9)", "tracking=none", "sweep.jobs=3") == one
    assert name("seed=0,1", "backbone.depth=8") != one


def test_the_threads_that_a_sweep_began_with_stay_its_threads(tmp_path):
    words = ["seed=0,1", "threads=null", f"hydra.sweep.dir={tmp_path}"]
    (tmp_path / "sweep.json").write_text('{"threads": 3}')
    assert sweep(*words, "sweep.jobs=2").base.config["threads"] == 3
    assert sweep(*words, "threads=5").base.config["threads"] == 5


@pytest.mark.parametrize(
    ("named", "found", "seen"),
    [
        (None, 2, ["0", "1"]),
        ("3,1", 2, ["3", "1"]),
        ("0,9", 1, ["0"]),
        ("MIG-a,MIG-b", 2, ["MIG-a", "MIG-b"]),
        ("", 0, []),
    ],
)
def test_trials_share_the_gpus_that_cuda_sees(monkeypatch, named, found, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus({"accelerator": "auto"}, ["a GPU"] * found) == seen
    assert visible_gpus({"accelerator": "cpu"}, ["a GPU"] * found) == []


def test_a_sweep_compares_its_trials_by_no_number_that_is_best_at_zero():
    chosen = sweep("seed=0,1", "sweep.metric=val/overconfidence", "sweep.mode=min")
    first = object.__new__(RunReport)  # of which nothing but this is asked
    first.metrics = MetricsReport(["val/overconfidence"], {}, ["val/overconfidence"])
    chosen.planner = SimpleNamespace(first=first)
    with pytest.raises(Refused, match=r"sweep\.metric.*best at 0"):
        chosen._refuse_unknown_metrics()
