"""vit report as a person uses it: a table, a verdict, a page; JSON for programs."""

import json
import subprocess
import sys

import pytest
from folders import make_run, make_sweep, put

from vit.cli.report import main
from vit.faults import Refused
from vit.review.samples import measured_on, seeds_and_samples
from vit.review.sources import load


def test_a_sweep_is_ranked_and_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(make_sweep(tmp_path / "sweep"))]) == 0
    shown = capsys.readouterr().out
    assert "9 runs (9 done) of 3 configurations" in shown
    assert "depth=6 is best: val/accuracy 0.92" in shown and "baseline" in shown
    assert shown.endswith("page  report.html\n")
    assert "Which is best?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_json_holds_the_same_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(make_sweep(tmp_path / "sweep", gain=0.0001)), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"]["kind"] == "unclear" and shown["metric"] == "val/accuracy"
    first = shown["configurations"][0]
    assert first["n"] == 3 and first["values"].keys() == {"0", "1", "2"}
    assert not (tmp_path / "report.html").exists()
    assert main([str(tmp_path / "sweep"), "--json", "--baseline", "depth=4"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["baseline"] != shown["baseline"]


def test_another_metric_is_ranked_its_way(tmp_path, capsys):
    sweep = make_sweep(tmp_path / "sweep")
    out = ["--out", str(tmp_path / "a.html")]
    assert main([str(sweep), "--metric", "train/loss", *out]) == 0
    assert "train/loss (lower is better)" in capsys.readouterr().out


def test_what_cannot_be_reported_is_refused(tmp_path):
    with pytest.raises(Refused, match="holds no runs"):
        main([str(tmp_path)])
    make_run(tmp_path / "run")
    with pytest.raises(Refused, match=r"wanted a name that ends in \.html"):
        main([str(tmp_path), "--out", "report.pdf"])
    with pytest.raises(Refused, match="there is no folder"):
        main([str(tmp_path), "--out", str(tmp_path / "no" / "a.html")])
    with pytest.raises(Refused, match="Did you mean 'val/accuracy'"):
        main([str(tmp_path), "--metric", "val/acc"])
    with pytest.raises(Refused, match="nothing is called 'x'"):
        main([str(tmp_path), "--baseline", "x"])


def test_what_runs_say_cannot_steer_the_terminal(tmp_path, capsys):
    evil = "\x1b]0;owned\x07 [red]bold[/red]"
    make_run(tmp_path / "a", state="failed", error=evil, more={"optim": {"lr": evil}})
    make_run(tmp_path / "b")
    assert main([str(tmp_path), "--out", str(tmp_path / "a.html")]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and "[red]bold[/red]" in shown


def test_one_configuration_is_compared_with_nothing(tmp_path, capsys):
    make_run(tmp_path / "runs" / "a")
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "a.html")]) == 0
    shown = capsys.readouterr().out
    assert "One configuration has finished" in shown
    assert "best mean" not in shown and "baseline" not in shown


def test_small_numbers_have_their_digits(tmp_path, capsys):
    for seed, value in enumerate((0.000169, 0.000171)):
        make_run(tmp_path / "runs" / f"{seed}", seed=seed, accuracy=value)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "a.html")]) == 0
    assert "0.00017 ± 1.27e-05" in capsys.readouterr().out


def test_of_a_run_that_is_not_done_the_best_so_far_is_shown(tmp_path, capsys):
    make_run(tmp_path / "runs" / "a", state="preempted", accuracy=0.75)
    assert main([str(tmp_path / "runs"), "--out", str(tmp_path / "a.html")]) == 0
    shown = capsys.readouterr().out
    assert "0.7500 so far" in shown and "No run is done with a finite val/accuracy" in shown
    assert "preempted: a  ended by a signal" in shown


def test_torch_is_not_imported_for_it(tmp_path):
    make_run(tmp_path / "run")
    code = "import sys; from vit.cli.main import main; main(sys.argv[1:]); "
    code += "sys.exit('torch' in sys.modules or 'scipy.stats' in sys.modules)"
    command = [sys.executable, "-c", code, "report", str(tmp_path), "--json"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


SIZES = {"val": {"images": 196}, "test": {"images": 401}}


def test_a_mean_says_of_how_many_seeds_and_samples_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = make_sweep(tmp_path / "sweep")
    for run in sweep.glob("depth_*"):
        put(run / "stamp.json", {"data": {"fingerprint": "f" * 32, **SIZES}})
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        metrics["metrics"]["test/accuracy"] = 0.5
        put(run / "metrics.json", {**metrics, "unit": "image", "left_out": {"val": 6}})
    assert main([str(sweep)]) == 0
    shown = capsys.readouterr().out
    assert "(3 seeds, 190 images), told from each of the 2 others" in shown
    assert "configuration  seeds  images  val/accuracy" in shown and "     190  " in shown
    assert main([str(sweep), "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    first = board["configurations"][0]
    assert board["unit"] == "image" and (first["n"], first["samples"]) == (3, [190])
    assert (first["test"]["n"], first["test"]["samples"]) == (3, [401])
    run = next(iter(load([sweep]).runs))
    assert measured_on(run, "train/loss") is None
    run.config["trainer"] = {"limit_val_batches": 0.5}
    assert measured_on(run, "val/accuracy") is None and measured_on(run, "test/accuracy") == 401
    assert seeds_and_samples(1, [1], "image") == "1 seed, 1 image"
    assert seeds_and_samples(2, [196, 1401], "text") == "2 seeds, 196 to 1,401 texts"


def test_no_page_is_written_over_another(tmp_path, capsys):
    for name in "ab":
        make_run(tmp_path / name / "run")
    out = tmp_path / "page.html"

    def report(source, *more):
        return main([str(source), "--out", str(out), *more])

    assert report(tmp_path / "a") == 0
    make_run(tmp_path / "a" / "another", seed=1)
    assert report(tmp_path / "b" / ".." / "a") == 0, "the same runs, and one more"
    page = out.read_text(encoding="utf-8")
    with pytest.raises(Refused, match=r"is the report of a; wanted a name.*--force replaces it"):
        report(tmp_path / "b")
    out.write_text("<html>mine</html>")
    with pytest.raises(Refused, match="is another file"):
        report(tmp_path / "a")
    assert out.read_text() == "<html>mine</html>"
    assert report(tmp_path / "a", "--force") == 0
    assert len(out.read_text(encoding="utf-8")) == pytest.approx(len(page), abs=200)
    assert report(tmp_path / "b", "--force") == 0 and report(tmp_path / "b") == 0
    capsys.readouterr()


def of_a_task(task, data="Digits"):
    parts = {"task": f"vit.tasks.{task.lower()}.{task}", "data": f"vit.data.{data}"}
    found = {name: {"_target_": target} for name, target in parts.items()}
    return {**found, "data": {**found["data"], "batch_size": 32}}


def merged(parts, named):
    return {**parts, "data": {**parts["data"], **named}}


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    """A sweep that has a winner, two detectors that have none, the sweep's task on other data."""
    monkeypatch.chdir(tmp_path)
    make_sweep(tmp_path / "runs" / "classify", more=of_a_task("Classification"))
    for seed, depth, value in ((0, 3, 0.30), (0, 5, 0.35), (1, 3, 0.33), (1, 5, 0.31)):
        more = {**of_a_task("Detection", "Scenes"), "seed": seed}
        folder = tmp_path / "runs" / f"detect-{depth}-{seed}"
        make_run(folder, depth=depth, accuracy=value, monitor="val/ap50", more=more)
    easy = of_a_task("Classification", "Shapes")
    make_run(tmp_path / "runs" / "easy", depth=9, accuracy=0.999, more=easy)
    return "runs"


def test_runs_of_different_tasks_have_a_board_each(mixed, capsys):
    assert main([mixed]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("These 14 runs are of 3 kinds")
    first, second, third = shown.split("\n\n")[1:]
    assert first.startswith("val/accuracy, Classification on Digits\n9 runs (9 done) of 3 conf")
    assert "depth=6 is best: val/accuracy 0.92" in first and "ap50" not in first
    assert second.startswith("val/ap50, Detection on Scenes\n4 runs (4 done) of 2 conf")
    assert "depth=5 has the best mean, val/ap50 0.33 ± 0.25 (2 seeds), but cannot be told" in second
    assert third.startswith("val/accuracy, Classification on Shapes\n1 run (1 done) of 1 conf")
    assert "One configuration has finished: val/accuracy 0.999 (1 seed)" in third
    assert "note:" not in shown


def test_json_has_the_boards_beside_the_tables_of_all(mixed, capsys):
    assert main([mixed, "--json", "--baseline", "depth=5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 1 and len(shown["runs"]) == 14
    assert shown["metric"] == "val/accuracy" and shown["verdict"]["kind"] == "clear"
    ranked = [row for row in shown["configurations"] if row["n"]]
    assert len(ranked) == 3 and len(shown["configurations"]) == 6  # the easier data win nothing
    boards = shown["boards"]
    assert [(each["metric"], each["title"], each["verdict"]["kind"]) for each in boards] == [
        ("val/accuracy", "Classification on Digits", "clear"),
        ("val/ap50", "Detection on Scenes", "unclear"),
        ("val/accuracy", "Classification on Shapes", "nothing"),
    ]
    assert shown["notes"] == [shown["about_boards"]]
    detectors = {row["label"]: row["id"] for row in boards[1]["configurations"]}
    assert boards[1]["baseline"] == detectors["depth=5"]
    assert main([mixed, "--json", "--metric", "val/ap50"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["boards"] == [] and shown["about_boards"] == "" and shown["metric"] == "val/ap50"


def test_one_board_of_different_data_says_so(mixed, capsys):
    assert main([mixed, "--metric", "val/accuracy"]) == 0
    shown = capsys.readouterr().out
    assert (
        "note: of different tasks or data: Classification on Digits; Classification on Shap"
        in shown
    )


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ({"name": "CIFAR10"}, {"name": "MNIST"}, "Classification on Some MNIST"),
        ({"root": "/a/birds/"}, {"root": "/a/flowers"}, "Classification on Some flowers"),
        (
            {"train": "a/x/train.tsv"},
            {"train": "a/y/train.tsv"},
            "Classification on Some y/train.t",
        ),
        ({"root": "/a/birds"}, {"root": "elsewhere/birds"}, None),
        ({"name": "MNIST"}, {"name": "MNIST", "root": "/a"}, None),
        ({"name": None}, {"name": 3}, None),
    ],
)
def test_data_of_one_class_differ_by_name_and_not_by_where_they_lie(
    first, second, shown, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for depth, named in enumerate((first, first, second)):
        more = of_a_task("Classification", "Some")
        run = make_run(tmp_path / "runs" / f"{depth}", depth=depth, more=merged(more, named))
        put(run / "stamp.json", {"data": {"fingerprint": f"of train alone {depth}"}})
    assert main(["runs", "--json"]) == 0
    boards = json.loads(capsys.readouterr().out)["boards"]
    assert [len(board["runs"]) for board in boards] == ([] if shown is None else [2, 1])
    assert shown is None or boards[1]["title"].startswith(shown)


def test_data_of_one_fingerprint_are_the_same_in_whatever_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for depth, root in enumerate(("/a/birds", "/b/copied")):
        more = merged(of_a_task("Classification", "Folder"), {"root": root})
        make_run(tmp_path / "runs" / f"{depth}", depth=depth, more=more)
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"] == []


def test_a_loss_is_compared_within_its_task_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, task in enumerate(("Classification", "Distillation")):
        for metric in ("val/loss", "val/accuracy"):
            folder = tmp_path / metric.replace("/", "_") / task
            make_run(folder, depth=number, monitor=metric, more=of_a_task(task))
    assert main(["val_accuracy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"] == []
    assert main(["val_loss", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["boards"]) == 2
