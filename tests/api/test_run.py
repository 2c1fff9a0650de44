import io
import json
import re
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from commands import command

import vit
from vit.api import report
from vit.api.command import Ended, _follow, require_success, run_command
from vit.api.run import Run, Runs
from vit.faults import Refused

SMALL = {
    "backbone": {"dim": 16, "depth": 1},
    "trainer": {"max_epochs": 2},
    "schedule": {"warmup_epochs": 0},
    "tracking": "none",
    "threads": 1,
}


@pytest.fixture
def made(tmp_path):
    def make(name, depth, accuracy):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        config = {"schema_version": 1, "seed": 0, "name": name, "backbone": {"depth": depth}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "state.json").write_text(json.dumps({"schema_version": 1, "state": "done"}))
        results = {"schema_version": 1, "metrics": {"val/accuracy": accuracy}, "epochs": 1}
        (folder / "metrics.json").write_text(json.dumps(results))
        record = {"schema_version": 1, "step": 9, "epoch": 0, "timing": {}}
        record["metrics"] = {"val/accuracy": accuracy}
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
        return Run(folder)

    return make


def test_a_run_tells_what_came_out(made):
    run = made("<b>", 2, 0.5)
    assert run.state == "done" and run.metrics == {"val/accuracy": 0.5}
    assert run.curves() == [{"step": 9, "epoch": 0, "val/accuracy": 0.5}]
    assert run.config["backbone"]["depth"] == 2
    assert "0.5000" in run._repr_html_() and "<b>" not in run._repr_html_()


def test_runs_are_a_table_of_where_they_differ(made, tmp_path):
    made("a", 2, 0.5), made("b", 4, 0.75)
    found = vit.runs(tmp_path / "runs")
    assert [run.name for run in found] == ["a", "b"] and isinstance(found[:1], Runs)
    assert found.rows()[1] == {
        "run": str(tmp_path / "runs" / "b"),
        "state": "done",
        "backbone.depth": 4,
        "val/accuracy": 0.75,
    }
    assert "0.7500" in found._repr_html_()


def test_a_command_that_refuses_raises_its_faults():
    ended = run_command(["evaluate", "no/such/run"])
    assert ended.code == 2
    with pytest.raises(Refused, match="no/such/run: no run folder"):
        require_success(ended.code, ended.output, ended.errors)
    with pytest.raises(RuntimeError, match="it broke"):
        require_success(1, "", "failed: it broke")


@pytest.fixture
def warm(monkeypatch):
    """The command of vit.report, in the warm process of the tests."""

    def run(words, **_):
        done = command(*words, code=None)
        return Ended(done.returncode, done.stdout, done.stderr)

    monkeypatch.setattr(report, "run_command", run)


@pytest.mark.slow
def test_a_report_of_tags_and_words_is_the_commands(made, tmp_path, warm, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, tags, note in (("a", ["x"], "one two"), ("b", ["x", "y"], "two"), ("c", [], "x")):
        file = made(name, 2, 0.5).path / "config.yaml"
        told = {**yaml.safe_load(file.read_text()), "tags": tags, "note": note}
        file.write_text(yaml.safe_dump(told))

    def names(**keys):
        keys |= {"metric": "val/accuracy", "mode": "max"}
        page = vit.report("runs", no_cache=True, force=True, **keys)
        return sorted(run["name"] for run in page.tables["runs"])

    assert names(tag="x") == names(tag=["x"]) == ["a", "b"]
    assert names(tag=("x", "y")) == ["b"] and names(search="two") == ["a", "b"]
    assert names(tag="x", search="one") == ["a"]
    with pytest.raises(Refused, match="no run has the tag 'z'"):
        names(tag="z")


def test_progress_is_a_line_that_changes_on_a_screen_and_lines_elsewhere(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    class Notebook(io.StringIO):
        pass

    Notebook.__module__ = "ipykernel.iostream"
    output = ["epoch 1/2  loss 2.0\n", "run  runs/x\n", "epoch 2/2\n"]
    monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for stream in (io.StringIO(), Screen(), Notebook()):
        monkeypatch.setattr(sys, "stdout", stream)
        said = []
        _follow(output, said, True)
        assert said == output
        shown[type(stream)] = stream.getvalue()
    assert shown[io.StringIO] == "epoch 1/2  loss 2.0\nepoch 2/2\n"
    assert shown[Screen] == "\repoch 1/2  loss 2.0\repoch 2/2          \n" == shown[Notebook]


def test_a_report_is_the_commands_page(made, tmp_path, warm, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made("a", 2, 0.5), made("b", 4, 0.75)
    keys = {"metric": "val/accuracy", "mode": "max", "baseline": "b", "no_cache": True}
    page = vit.report("runs", out="it's.html", **keys)
    words = ["--metric=val/accuracy", "--mode=max", "--baseline=b", "--no-cache"]
    told = command("report", "runs", *words, "--json", "--out=other.html").stdout
    assert undated(page.path.read_text()) == undated((tmp_path / "other.html").read_text())
    assert undated(json.dumps(page.tables)) == undated(json.dumps(json.loads(told)))
    assert "tables" not in repr(page) and "boards" in page.tables
    several = vit.report(vit.runs("runs")[:1], Run(tmp_path / "runs" / "b"), **keys)
    assert several.path.name == "report.html" and several.path.exists()
    with pytest.raises(Refused, match="wanted a name that is free"):
        vit.report("runs/a", out=several.path)
    del keys["baseline"]
    replaced = vit.report("runs/a", out=several.path, force=True, **keys)
    assert "boards" in replaced.tables


def undated(text):
    return re.sub(r'("created": ?)"[^"]+"', r"\1", text)


def test_a_report_is_shown_in_a_frame_that_reaches_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "javascript:<b>.html"
    file.write_text('<p>"page"</p><script>1</script>')
    shown = vit.ReportPage(file, {})._repr_html_()
    assert 'sandbox="allow-scripts"' in shown and "<script" not in shown and "<b>" not in shown
    assert 'href="./javascript%3A%3Cb%3E.html"' in shown and "&quot;page&quot;" in shown
    monkeypatch.setattr(report, "MOST_EMBEDDED", 3)
    assert "<iframe" not in vit.ReportPage(file, {})._repr_html_()
    assert "No such file" in vit.ReportPage(tmp_path / "gone.html", {})._repr_html_()


@pytest.mark.parametrize(
    ("sources", "keys", "told"),
    [
        (["no/such/folder"], {}, "no/such/folder"),
        (["runs"], {"metric": "val/acuracy"}, "val/acuracy"),
        (["runs"], {"mode": "best"}, "^argument --mode: invalid choice: 'best'"),
        (["runs"], {"out": "page.pdf"}, r"wanted a name that ends in \.html"),
        ([""], {}, "got ''; wanted a folder, a Run"),
    ],
)
def test_a_report_is_refused_as_the_command_refuses(
    made, tmp_path, warm, monkeypatch, sources, keys, told
):
    monkeypatch.chdir(tmp_path)
    made("a", 2, 0.5)
    with pytest.raises(Refused, match=told):
        vit.report(*sources, **keys)
    assert not [*tmp_path.glob("*.html")]


@pytest.mark.slow
def test_python_trains_the_run_that_the_command_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = vit.train("experiment=digits", seed=3, progress=False, **SMALL)
    kept = tmp_path / "kept"
    shutil.move(run.path, kept)
    words = ["backbone.dim=16", "backbone.depth=1", "trainer.max_epochs=2", "tracking=none"]
    words += ["schedule.warmup_epochs=0", "threads=1", "seed=3"]
    command = [sys.executable, "-m", "vit", "train", "experiment=digits", *words]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    records = [
        [
            json.loads(line)["metrics"]
            for line in (folder / "metrics.jsonl").read_text().splitlines()
        ]
        for folder in (kept, run.path)
    ]
    assert records[0] == records[1]
    before = time.monotonic()
    assert vit.train("experiment=digits", seed=3, progress=False, **SMALL) == run
    assert time.monotonic() - before < 60
    assert run.evaluate(split="val")["metrics"]["val/accuracy"] == run.metrics["val/accuracy"]
    assert vit.check("experiment=digits", seed=4, **SMALL)["parameters"] == 3818
    with pytest.raises(Refused, match="optim"):
        vit.check("experiment=digits", optim={"lr": -1})


@pytest.mark.slow
def test_a_sweep_gives_its_trials(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trials = vit.sweep("experiment=digits", "seed=1,2", progress=False, **SMALL)
    assert [trial.config["seed"] for trial in trials] == [1, 2]
    assert all(trial.state == "done" for trial in trials)
