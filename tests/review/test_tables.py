"""What feeds the pictures: Pareto fronts, shares of variance, thinned curves on four axes."""

import numpy as np
import pytest
from folders import make_run, make_sweep, put
from scipy import stats

from vit.review.configurations import Configuration, Factor, gather
from vit.review.costs import COSTS, mean_costs, pareto_front, run_costs
from vit.review.curves import MOST_POINTS, curves, rounded, thinned
from vit.review.effects import effects, omega_squared
from vit.review.mistakes import mistakes
from vit.review.report import build_report
from vit.review.shares import clock_of
from vit.review.sources import load
from vit.runs.record import Recorder


def test_the_front_is_what_nothing_beats():
    draw = np.random.default_rng(0)
    for _ in range(50):
        points = {str(at): tuple((draw.integers(0, 6, 2) / 1).tolist()) for at in range(12)}
        beaten = {
            name
            for name, (a, b) in points.items()
            if any(c <= a and d <= b and (c, d) != (a, b) for c, d in points.values())
        }
        front = pareto_front(points)
        assert set(front) == points.keys() - beaten
        assert [points[name] for name in front] == sorted(points[name] for name in front)


def test_costs_of_runs(tmp_path):
    run = make_run(tmp_path / "a", depth=4)
    Recorder(run / "metrics.jsonl").write(
        40, 3, {}, {"images_per_second": 100.0, "peak_memory_mb": 3000.0}
    )
    put(run / "trial.json", {"cost": 17.0, "facts": {"parameters": 5, "gflops_per_image": "nan"}})
    (found,) = load([tmp_path]).runs
    assert run_costs(found) == {
        "train_seconds": 40.0,
        "training_gflops": 17.0,
        "steps": 30.0,
        "parameters": 5.0,
        "images_per_second": 320.0,
        "peak_memory_mb": 3000.0,
    }
    failed = make_run(tmp_path / "b", depth=4, seed=1, state="failed")
    assert failed
    (one,) = gather(load([tmp_path]).runs)[0]
    assert mean_costs(one)["train_seconds"] == 40.0  # of the one that is done


def test_a_run_outside_a_sweep_has_its_size_from_its_stamp(tmp_path):
    run = make_run(tmp_path / "a")
    put(run / "stamp.json", {"facts": {"parameters": 7, "gflops_per_image": 0.5}})
    (found,) = load([tmp_path]).runs
    costs = run_costs(found)
    assert (costs["parameters"], costs["gflops_per_image"]) == (7.0, 0.5)


def test_training_flops_are_of_the_steps_that_were_made(tmp_path):
    run = make_run(tmp_path / "a", cpu_seconds=7.0)  # 30 steps of 32 images
    put(run / "trial.json", {"cost": 60.0, "facts": {"steps": 90, "gflops_per_image": 0.5}})
    assert run_costs(load([tmp_path]).runs[0])["training_gflops"] == 20.0
    (run / "trial.json").unlink()
    put(run / "stamp.json", {"facts": {"gflops_per_image": 0.5}, "hardware": {"gpus": ["X", "X"]}})
    config = run / "config.yaml"
    config.write_text(config.read_text() + "trainer: {accelerator: gpu, devices: 2}\n")
    costs = run_costs(load([tmp_path], cache=False).runs[0])
    assert costs["training_gflops"] == 3 * 0.5 * 32 * 30
    assert (costs["cpu_seconds"], costs["gpu_seconds"], costs["train_seconds"]) == (7.0, 80.0, 40.0)


def test_costs_begin_with_the_work_and_end_with_the_clock(tmp_path):
    names = [cost.name for cost in COSTS]
    assert names[:2] == ["training_gflops", "gflops_per_image"] and names[-1] == "train_seconds"
    assert names.index("cpu_seconds") < names.index("steps") < names.index("images_per_second")


def of_the_clock(folder, *spans, **more):
    """Reasons against the times of runs that were trained from second to second, each on a host."""
    for at, (host, began, ended) in enumerate(spans):
        owner = {"owner": {"host": host, "pid": 1}}
        make_run(folder / f"{at}", seed=at, started=began, updated=ended, **owner, **more)
    return clock_of(load([folder]).runs)


def test_times_of_different_shares_of_a_machine_are_marked(tmp_path):
    alone = of_the_clock(tmp_path / "a", ("x", 10, 20), ("x", 20, 30), ("x", 31, 40))
    assert alone.reasons == [] and alone.together == []
    shared = of_the_clock(tmp_path / "b", ("x", 10, 20), ("x", 19, 30), ("x", 31, 40))
    assert shared.reasons[0].startswith("2 of 3 runs shared their machine")
    assert shared.together == ["0", "1"] and "not known" in shared.reasons[-1]
    apart = of_the_clock(tmp_path / "c", ("x", 10, 20), ("y", 10, 20))
    assert apart.reasons[0] == "different machines: x, y" and apart.together == []
    run = make_run(tmp_path / "c" / "two", more={"trainer": {"devices": 2}}, seed=9)
    put(run / "stamp.json", {"hardware": {"cpu": "EPYC", "cores": 2}})
    other = make_run(
        tmp_path / "c" / "three", more={"trainer": {"devices": 1}, "threads": 1}, seed=8
    )
    put(other / "stamp.json", {"hardware": {"cpu": "Xeon"}})
    reasons = clock_of(load([tmp_path / "c"]).runs).reasons
    assert "different devices: EPYC with 2 cores, Xeon" in reasons
    assert "different numbers of processes: 1, 2" in reasons


def test_the_front_on_the_page_follows_the_mode(tmp_path):
    # A deeper one takes longer and is better.
    folder = make_sweep(tmp_path / "sweep")
    board = build_report(load([folder]), [folder]).overall
    time = next(cost for cost in board.costs if cost.name == "train_seconds")
    by_id = {row.id: row.label for row in board.configurations}
    assert [by_id[name] for name in time.front] == ["depth=2", "depth=4", "depth=6"]
    board = build_report(load([folder]), [folder], mode="min").overall
    time = next(cost for cost in board.costs if cost.name == "train_seconds")
    assert [by_id[name] for name in time.front] == ["depth=2"]


def test_omega_squared_is_the_textbooks():
    draw = np.random.default_rng(1)
    levels = np.repeat([0, 1, 2], [5, 8, 6])
    values = draw.normal(levels * 0.7, 1.0)
    groups = [values[levels == level] for level in range(3)]
    f = stats.f_oneway(*groups).statistic
    by_f = 2 * (f - 1) / (2 * (f - 1) + len(values))  # the same quantity by way of F
    assert omega_squared(values, levels) == pytest.approx(by_f, rel=1e-9)
    assert omega_squared(np.ones(6), np.array([0, 0, 1, 1, 2, 2])) == 0.0


def test_what_matters_is_found_and_noise_is_not():
    draw = np.random.default_rng(0)
    configurations, values = [], []
    for at in range(24):
        settings = {"a": at % 3, "b": at % 4, "c": draw.random()}
        configurations.append(Configuration(str(at), str(at), [], settings))
        values.append((settings["a"] + draw.normal(0, 0.3, 3)).tolist())
    found = effects(configurations, [Factor(key, key) for key in "abc"], values)
    assert found.rows[0].key == "a"
    assert found.rows[0].share > 0.8 and found.rows[0].low <= found.rows[0].share
    assert all(row.share < 0.15 for row in found.rows[1:])
    assert 0.02 < found.seeds < 0.25
    assert effects(configurations[:5], [Factor("a", "a")], values[:5]) is None


def test_curves_are_thinned_and_rounded():
    assert thinned(1000, 5).tolist() == [0, 250, 500, 749, 999]
    assert thinned(3, 5).tolist() == [0, 1, 2] and thinned(1, 5).tolist() == [0]
    short = rounded(np.array([1 / 3, 2.0, np.nan, -np.inf, 123456.7]))
    assert short == [0.33333, 2, None, None, 123460]


def test_runs_share_their_grids_and_know_their_axes(tmp_path):
    for seed in range(2):
        run = make_run(tmp_path / f"{seed}", seed=seed, points=0)
        recorder = Recorder(run / "metrics.jsonl")
        for point in range(400):
            timing = {"step_seconds": 0.5 if point < 200 else 1.0}
            recorder.write(5 * (point + 1), point // 40, {"val/accuracy": point / 400}, timing)
        put(run / "metrics.json", {"metrics": {}, "steps": 2000, "epochs": 10})
    found, _ = gather(load([tmp_path], cache=False).runs)
    drawn = curves(found, "val/accuracy")
    assert drawn.metrics == ["val/accuracy"] and len(drawn.grids) == 1
    assert len(drawn.grids[0]) == MOST_POINTS and drawn.grids[0][-1] == 2000
    run = drawn.runs[1]
    assert (run.seed, run.images_per_step, run.steps_per_epoch) == (1, 32, 200.0)
    steps, seconds = run.clock
    assert (steps[0], steps[-1]) == (5, 2000) and (seconds[0], seconds[-1]) == (2.5, 1500)


def test_the_epochs_of_a_killed_run_are_counted_by_its_whole_ones(tmp_path):
    run = make_run(tmp_path / "a", points=0, state="failed")
    recorder = Recorder(run / "metrics.jsonl")
    for step in (10, 20, 30, 40, 50):
        recorder.write(step, (step - 1) // 20, {"val/accuracy": 0.1}, {})
    found, _ = gather(load([tmp_path], cache=False).runs)
    assert curves(found, "val/accuracy").runs[0].steps_per_epoch == 20.0


def test_notes_say_what_means_leave_out(tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", updated=5.0)
    make_run(tmp_path / "c", seed=1, state="failed", kind="killed", log_tail=["x" * 5000])
    make_run(tmp_path / "d", lr=0.2, monitor="val/map")
    make_run(tmp_path / "e", seed=2, state="planned", points=0)
    board = build_report(load([tmp_path]), [tmp_path], metric="val/accuracy").overall
    notes = " | ".join(board.notes)
    assert "done, but without a finite val/accuracy: 1 (d)" in notes
    assert "some checkpoints were selected by val/map" in notes
    assert "the same configuration and seed again: 1" in notes and "1 failed or cut off" in notes
    assert "1 still running or planned" in notes
    (failure,) = board.failures
    assert failure.last_step == 30 and len(failure.log_tail[0]) == 2000
    board = build_report(load([tmp_path]), [tmp_path], metric="test/accuracy").overall
    assert any("no test left" in note for note in board.notes)


def tables_of(right, wrong, **more):
    return {
        "classes": ["cat", "dog", "owl"],
        "images": [right + wrong, 4, 0],
        "class_accuracy": [right / (right + wrong), 0.5, None],
        "confusion": [[right, wrong, 0], [1, 2, 1], [0, 0, 0]],
        "calibration": [{"images": 4, "accuracy": 0.5, "confidence": 0.9}],
        **more,
    }


def test_mistakes_are_gathered_over_seeds(tmp_path):
    tables = [tables_of(8, 2), tables_of(6, 4)]
    tables.append(tables_of(1, 9, classes=["other", "names", "here"]))
    tables.append(tables_of(1, 9, class_accuracy=[1.0]))
    for seed, table in enumerate(tables):
        run = make_run(tmp_path / f"{seed}", seed=seed)
        put(run / "metrics.json", {"metrics": {"val/accuracy": 0.5}, "tables": table})
    found, _ = gather(load([tmp_path]).runs)
    gathered = mistakes(found)
    (row,) = gathered.rows
    assert (gathered.classes, gathered.score, row.runs) == (["cat", "dog", "owl"], "accuracy", 2)
    assert row.scores == [pytest.approx(0.7), 0.5, None]
    assert row.confusion == [[14, 6, 0], [2, 4, 2], [0, 0, 0]]
    assert len(row.calibration) == 2


@pytest.mark.parametrize("damage", [{"confusion": [[1]]}, {"confusion": "x"}, {"calibration": 3}])
def test_damaged_tables_do_no_harm(tmp_path, damage):
    run = make_run(tmp_path / "a")
    put(run / "metrics.json", {"metrics": {}, "tables": tables_of(8, 2, **damage)})
    (row,) = mistakes(gather(load([tmp_path]).runs)[0]).rows
    assert row.scores[0] == 0.8
    assert row.confusion is None or row.calibration == []


def test_runs_without_classes_have_no_mistakes(tmp_path):
    make_run(tmp_path / "a")
    assert mistakes(gather(load([tmp_path]).runs)[0]) is None
