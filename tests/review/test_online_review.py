"""A W&B project as a source and as a place to publish, by real clients and a server on loopback."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from folders import make_sweep
from wandb_server import serving

from vit.review.history import Series
from vit.review.online import is_project, selected

WRITES = """
import numpy as np, wandb
quiet = wandb.Settings(console="off", silent=True)
for number in range(4):  # two configurations of two seeds; one writes its settings flat
    lr, seed = 0.1 * (1 + number // 2), number % 2
    config = {"optim.lr": lr, "optim/decay": 1} if seed else {"optim": {"lr": lr, "decay": 1}}
    run = wandb.init(project="p", id=f"r{number}", name=f"run <b>{number}", settings=quiet,
                     config={**config, "seed": seed}, mode="online")
    run.define_metric("val/acc", summary="max", step_metric="images")
    run.define_metric("train/*", step_metric="trainer/global_step")
    for step in range(6):
        loss = {3: float("nan"), 4: float("-inf")}.get(step, 1 / (step + 1))
        run.log({"train/loss": loss, "trainer/global_step": 10 * step})
    for step in range(3):
        run.log({"val/acc": 0.5 + 0.1 * (step == 1) + 0.01 * number, "images": 640 * step})
    run.log({"picture": wandb.Image(np.zeros((4, 4, 3), np.uint8)),
             "table": wandb.Table(columns=["a"], data=[[1]])})
    run.finish(exit_code=0)
for start, steps in enumerate((40, 30)):  # 10 steps are done again
    run = wandb.init(project="resumed", id="abc", resume="allow", config={"seed": 3},
                     settings=quiet, mode="offline")
    for step in range(steps):
        run.log({"loss": start + 1 / (step + 1), "trainer/global_step": 10 * (step + 30 * start)})
    run.finish()
"""
READS = """
import json, sys
from vit.cli.main import main
from vit.review.sources import load
answers = {}
for name in ("first", "again"):
    answers[name] = [
        [run.name, run.state, run.seed, run.group, run.metrics.get("val/acc"),
         {key: [one.steps.tolist(), [str(v) for v in one.values]]
          for key, one in run.history.items()}]
        for run in load(["me/p"]).runs
    ]
answers["resumed"] = load(["me/resumed"]).runs[0].history["loss"].values.tolist()
words = ["report", "me/p", "--metric", "val/acc", "--out", "page.html"]
answers["code"] = main([*words, "--log", "me/p", "--workspace", "me/p"])
answers["refused"] = main(["report", "me/nothing"])
answers["count"] = len(load(["me/p"]).runs)
print("ANSWERS" + json.dumps(answers))
"""


def ran(server, home, *words, **more):
    """A Python process that knows this server and nothing else, with all its files in `home`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    places = {f"WANDB_{name}_DIR": str(home / name) for name in ("DATA", "CACHE", "CONFIG")}
    places |= {"WANDB_DIR": str(home), "XDG_CACHE_HOME": str(home / "kept"), "HOME": str(home)}
    answers = {**environment, **places, **server.environment(), **more}
    return subprocess.run(
        [sys.executable, *words],
        env={name: value for name, value in answers.items() if value},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The server, what `READS` answers, and what the commands said."""
    home = tmp_path_factory.mktemp("online")
    with serving() as server:
        written = ran(server, home, "-c", WRITES)
        assert written.returncode == 0, written.stderr
        sent = ran(server, home, "-m", "vit", "sync", str(home))
        assert sent.returncode == 0, sent.stderr
        read = ran(server, home, "-c", READS)
        assert "ANSWERS" in read.stdout, read.stderr
        answers = json.loads(read.stdout.split("ANSWERS")[1])
        yield server, answers, read, home


def test_a_project_reads_as_its_runs(published):
    _, answers, _, _ = published
    runs = answers["first"]
    assert [run[:3] for run in runs] == [[f"run <b>{n}", "done", n % 2] for n in range(4)]
    groups = [run[3] for run in runs]
    assert groups[0] == groups[1] != groups[2] == groups[3]  # nested or flat, and without the seed
    assert [run[4] for run in runs] == pytest.approx([0.6, 0.61, 0.62, 0.63])  # the best of each
    history = runs[0][5]
    assert history.keys() == {"train/loss", "val/acc", "images"}
    steps, values = history["train/loss"]
    assert steps == [0, 10, 20, 30, 40, 50]
    assert math.isnan(float(values[3])) and float(values[4]) == -math.inf
    assert history["val/acc"][0] == [0, 640, 1280]  # over its own step_metric


def test_projects_are_not_taken_for_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_project("me/p") and is_project("my-team/a project")
    (tmp_path / "me" / "p").mkdir(parents=True)
    assert not any(map(is_project, ("me/p", "../p", "./p", "p", "/me/p", "a/b/c", "runs/")))


def test_a_run_of_ours_counts_where_its_checkpoint_was_chosen():
    steps = np.array([10, 20, 30])
    history = {
        "val/loss": Series(steps, np.array([0.5, math.nan, 0.7])),
        "val/accuracy": Series(steps, np.array([0.8, 0.9, 0.7])),
        "train/loss": Series(steps, np.array([1.0, 2.0, 3.0])),
    }
    config = {"checkpoint": {"monitor": "val/loss", "mode": "min"}}
    assert selected(config, history) == {"val/loss": 0.5, "val/accuracy": 0.8}
    config = {"checkpoint": {"monitor": "val/accuracy", "mode": "max"}}
    assert selected(config, history)["val/accuracy"] == 0.9
    assert selected({}, history) == {}


def test_what_has_ended_is_asked_for_once(published):
    server, answers, _, _ = published
    assert answers["again"] == answers["first"]
    # Four runs of p, the resumed one, and the two reads of the report's own: none but the first.
    assert server.asked.count("HistoryPage") == 5


def test_all_starts_of_an_offline_run_are_uploaded_as_one(published):
    server, answers, _, _ = published
    assert len(server.history["abc"]) == 70
    first = [1 / (step + 1) for step in range(30)]
    assert answers["resumed"] == pytest.approx(first + [1 + 1 / (step + 1) for step in range(30)])


def test_the_page_is_logged_as_a_report_and_read_as_no_run(published):
    server, answers, read, home = published
    assert answers["code"] == 0 and answers["count"] == 4
    (report,) = [run for run in server.kept.values() if run.get("jobType") == "report"]
    (logged,) = [page for name, page in server.uploads.items() if name.endswith(".html")]
    assert logged == (home / "page.html").read_bytes()
    assert "has the best mean" in json.loads(report["summaryMetrics"])["verdict"]
    assert f"logged  {server.url}/me/p/runs/{report['name']}" in read.stderr


def test_the_workspace_is_grouped_by_configuration(published):
    server, _, read, _ = published
    (view,) = server.views
    spec = json.loads(view["spec"])["section"]
    (runs,) = spec["runSets"]
    assert runs["grouping"] == [{"section": "config", "name": "optim.value.lr"}]
    kinds = [p["viewType"] for s in spec["panelBankConfig"]["sections"] for p in s["panels"]]
    wanted = {"Parallel Coordinates Plot", "Parameter Importance", "Media Browser", "Run Comparer"}
    assert wanted < set(kinds)
    curves = [p["config"] for s in spec["panelBankConfig"]["sections"] for p in s["panels"]
              if p["viewType"] == "Run History Line Plot"]  # fmt: skip
    assert curves[0]["metrics"] == ["val/acc"] and curves[0]["groupArea"] == "stddev"
    assert re.search(rf"workspace  {server.url}/me/p\?nw=\w+", read.stderr)


def test_what_cannot_be_asked_is_refused_in_one_line(published):
    server, answers, read, home = published
    assert answers["refused"] == 2
    assert "me/nothing: no such folder; as a W&B project: " in read.stderr
    assert f"{server.url} knows no such project" in read.stderr
    unknown = ran(server, home, "-m", "vit", "report", "me/p", WANDB_API_KEY="")
    assert unknown.returncode == 2 and "WANDB_API_KEY" in unknown.stderr
    assert "no such folder" in unknown.stderr  # a path misspelt is no question of keys
    assert "Traceback" not in unknown.stderr


def test_the_client_asked_for_nothing_that_the_server_lacks(published):
    server, _, _, home = published
    assert server.unknown == []
    pictures = [name for name in server.uploads if name.startswith("r0/media/images/")]
    tables = [answers["input"]["artifactTypeName"] for answers in server.artifacts]
    assert len(pictures) == 1 and tables == ["run_table"] * 4
    assert not (home / "me").exists()


@pytest.mark.slow
def test_a_page_that_was_logged_offline_is_sent_later(tmp_path):
    make_sweep(tmp_path / "sweep")
    with serving() as server:
        words = ["-m", "vit", "report", "sweep", "--log", "me/p"]
        said = ran(server, tmp_path, *words, WANDB_MODE="offline")
        assert said.returncode == 0 and server.asked == [], said.stderr
        sent = ran(server, tmp_path, "-m", "vit", "sync", str(tmp_path))
        assert sent.returncode == 0, sent.stderr
        (page,) = [page for name, page in server.uploads.items() if name.endswith(".html")]
        assert page == (tmp_path / "report.html").read_bytes()
        assert [run["jobType"] for run in server.kept.values()] == ["report"]


@pytest.mark.slow
def test_no_network_is_one_error(tmp_path):
    with serving() as server:
        pass  # closed again: its port refuses
    done = ran(server, tmp_path, "-m", "vit", "report", "me/p")
    assert done.returncode == 2 and "cannot be asked" in done.stderr
    assert "Traceback" not in done.stderr
