"""Configurations over seeds: what tells them apart, which is best, and whether that is known."""

from pathlib import Path

import numpy as np
import pytest
from folders import make_run, make_sweep, put

from vit.faults import Refused
from vit.review.configurations import gather
from vit.review.ranking import choose_metric, rank
from vit.review.run import Run
from vit.review.sources import load


def invented(values, *, start=0):
    """Runs of configurations named by their depth, seeds counted from `start`."""
    runs = []
    for depth, row in enumerate(values):
        for seed, value in enumerate(row, start):
            config = {"seed": seed, "backbone": {"depth": depth}}
            runs.append(
                Run(Path(), config, {}, {"metrics": {"m": value}}, {}, {}, {}, state="done")
            )
    return gather(runs)[0]


def test_what_differs_names_the_configurations(tmp_path):
    folder = make_sweep(tmp_path / "sweep")
    (trio, factors) = gather(load([folder]).runs)
    assert [each.label for each in trio] == ["depth=2", "depth=4", "depth=6"]
    assert [factor.key for factor in factors] == ["backbone.depth"]
    assert [len(each.runs) for each in trio] == [3, 3, 3]
    assert trio[0].values("val/accuracy").keys() == {0, 1, 2}


def test_settings_that_change_together_are_one_factor(tmp_path):
    for depth, name in ((2, "a"), (4, "b")):
        make_run(tmp_path / name, depth=depth, more={"a": {"depth": depth, "list": [depth]}})
    make_run(tmp_path / "c", depth=4, lr=0.2, more={"a": {"depth": 4, "list": [4]}})
    _, factors = gather(load([tmp_path]).runs)
    assert [(f.key, f.short, f.also) for f in factors] == [
        ("a.depth", "depth", ("a.list", "backbone.depth")),
        ("optim.lr", "lr", ()),
    ]


def test_a_machines_setting_is_no_cause_where_another_changes_with_it(tmp_path):
    for workers, limit in ((0, 1.0), (2, 3)):
        more = {"data": {"num_workers": workers}, "trainer": {"limit_train_batches": limit}}
        make_run(tmp_path / f"{workers}", more=more)
    found, factors = gather(load([tmp_path]).runs)
    assert [(f.short, f.also) for f in factors] == [("limit_train_batches", ("data.num_workers",))]
    assert found[1].label == "limit_train_batches=3"


def test_what_only_one_kind_of_part_has_is_no_factor_beside_it(tmp_path):
    rope = {"_target_": "vit.layers.position.Rope", "base": 100}
    parts = [{"_target_": "vit.layers.position.Learned"}, rope, {**rope, "mixed": 1}]
    for number, part in enumerate(parts):
        more = {"backbone": {"depth": 4, "position": part}}
        make_run(tmp_path / f"{number}", more=more)
    found, factors = gather(load([tmp_path]).runs)
    assert [(f.key, f.short, f.also) for f in factors] == [
        ("backbone.position._target_", "position", ("backbone.position.base",)),
        ("backbone.position.mixed", "mixed", ()),
    ]
    assert found[0].label == "position=Learned mixed=–"


def test_a_head_is_called_by_its_own_name_and_not_by_its_necks(tmp_path):
    for name, neck in (("Deformable", "Projector"), ("Detr", "Pyramid")):
        head = {"neck": {"_target_": f"vit.{neck}"}, "_target_": f"vit.{name}"}
        make_run(tmp_path / name, more={"head": head})
    found, _ = gather(load([tmp_path]).runs)
    assert [each.label for each in found] == ["head=Deformable", "head=Detr"]


def test_other_data_are_another_configuration(tmp_path):
    for name in ("a", "b"):
        run = make_run(tmp_path / name)
        put(run / "stamp.json", {"data": {"fingerprint": name * 32}})
    found, _ = gather(load([tmp_path]).runs)
    assert [each.label for each in found] == [
        "data fingerprint=aaaaaaaa",
        "data fingerprint=bbbbbbbb",
    ]


def test_a_seed_counts_once_and_only_done_runs_count(tmp_path):
    make_run(tmp_path / "a", accuracy=0.7, updated=1.0)
    make_run(tmp_path / "again", accuracy=0.8, updated=2.0)
    make_run(tmp_path / "failed", seed=1, state="failed", kind="diverged")
    nan = make_run(tmp_path / "nan", seed=2)
    put(nan / "metrics.json", {"metrics": {"val/accuracy": "nan"}})
    (one,) = gather(load([tmp_path]).runs)[0]
    assert one.values("val/accuracy") == {0: 0.8}


def test_a_gap_beyond_the_noise_has_a_winner():
    ranking = rank(invented([[0.80, 0.81, 0.79, 0.80], [0.9, 0.91, 0.88, 0.9]]), "m", "max")
    assert ranking.kind == "clear" and "depth=1 is best" in ranking.verdict
    lower = rank(invented([[0.80, 0.81, 0.79, 0.80], [0.9, 0.91, 0.88, 0.9]]), "m", "min")
    assert "depth=0 is best" in lower.verdict


def test_a_gap_within_the_noise_has_none():
    ranking = rank(invented([[0.80, 0.84, 0.79], [0.83, 0.82, 0.84]]), "m", "max")
    assert ranking.kind == "unclear" and "cannot be told from the other" in ranking.verdict
    assert "0.02 behind: a gap this size needs about 25 more seeds" in ranking.advice
    assert ranking.places[1].tied


def test_single_seeds_prove_nothing():
    ranking = rank(invented([[0.1], [0.9]]), "m", "max")
    assert ranking.kind == "unclear" and "run at least three" in ranking.advice


def test_differences_that_never_vary_prove_nothing():
    ranking = rank(invented([[0.5, 0.6], [0.6, 0.7]]), "m", "max")
    assert ranking.kind == "unclear" and "prove nothing" in ranking.advice


def test_where_all_are_alike_none_has_the_best_mean():
    ranking = rank(invented([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), "m", "max")
    assert ranking.kind == "unclear"
    assert ranking.verdict.startswith("All 3 configurations have the same mean: m 0")


def test_of_equal_configurations_one_in_twenty_at_most_is_called_best():
    draw = np.random.default_rng(0)
    for count, seeds in ((2, 3), (6, 4)):
        kinds = [
            rank(invented(draw.normal(0, 1, (count, seeds)).tolist()), "m", "max").kind
            for _ in range(150)
        ]
        assert kinds.count("clear") / len(kinds) <= 0.08, (count, seeds)


def test_the_first_is_the_baseline_unless_another_is_named():
    three = invented([[0.5, 0.52], [0.7, 0.71], [0.6, 0.66]])
    ranking = rank(three, "m", "max")
    assert ranking.baseline == three[0].id
    best = ranking.places[0]
    assert best.to_baseline.value == pytest.approx(0.195) and best.to_best is None
    assert rank(three, "m", "max", three[2].id).places[0].to_baseline.value == pytest.approx(0.075)


def test_nothing_done_is_nothing_to_rank():
    assert rank(invented([["nan"]]), "m", "max").kind == "nothing"
    assert "One configuration" in rank(invented([[0.5, 0.6]]), "m", "max").verdict


def test_the_metric_is_what_checkpoints_were_selected_by(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / name)
    make_run(tmp_path / "c", monitor="val/loss")
    runs = load([tmp_path]).runs
    assert choose_metric(runs, None, None) == ("val/accuracy", "max")
    assert choose_metric(runs, "train/loss", None) == ("train/loss", "min")
    assert choose_metric(runs, "val/loss", None) == ("val/loss", "max")  # as its run had it
    assert choose_metric(runs, "val/accuracy", "min") == ("val/accuracy", "min")
    with pytest.raises(Refused, match="Did you mean 'val/accuracy'"):
        choose_metric(runs, "val/acuracy", None)


def test_nothing_is_ranked_by_a_number_that_is_best_at_zero_unless_a_direction_is_said():
    results = {"metrics": {"val/overconfidence": 0.1}}
    runs = [Run(Path("a"), {}, {}, results, {}, {}, {}, state="done")]
    with pytest.raises(Refused, match=r"best at 0.*val/ece"):
        choose_metric(runs, "val/overconfidence", None)
    assert choose_metric(runs, "val/overconfidence", "min") == ("val/overconfidence", "min")
