"""W&B's files as wandb itself writes them, offline; kills and damage cut copies of them."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from folders import make_run

from vit.faults import Refused
from vit.review.reader import find_runs
from vit.review.sources import load
from vit.review.wandb_files import read_wandb

WRITES = """
import wandb
for start, steps in enumerate((40, 30)):
    run = wandb.init(
        project="p", id="abc", name="a <b>name", config={"optim": {"lr": 0.1}, "seed": 3},
        resume="allow", settings=wandb.Settings(console="off"),
    )
    run.define_metric("val/acc", summary="max")
    for step in range(steps):
        loss = float("nan") if step == 5 else float("inf") if step == 6 else 1 / (step + 1)
        run.log({"loss": loss, "val/acc": 0.5 - abs(step - 20) / 100, "epoch": step // 10,
                 "trainer/global_step": 10 * (step + 30 * start), "note": "x" * 3000})
    run.finish(exit_code=0)
run = wandb.init(project="p", id="page", job_type="report")
run.log({"report": wandb.Html("<p>a page</p>", inject=False)})
run.finish()
run = wandb.init(project="p", id="bad", config={"optim.lr": 0.2})
for step in range(4):
    run.log({"loss": step})
run.finish(exit_code=3)
"""


def environment_of(home):
    """wandb offline, with every folder of its own in `home`."""
    places = {f"WANDB_{name}_DIR": str(home / name) for name in ("DATA", "CACHE", "CONFIG")}
    quiet = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    return {**os.environ, **places, **quiet, "WANDB_DIR": str(home)}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    home = tmp_path_factory.mktemp("offline")
    command = [sys.executable, "-c", WRITES]
    subprocess.run(command, env=environment_of(home), check=True, timeout=120)
    return home


def first_start(home):
    return min(home.glob("wandb/offline-run-*/run-abc.wandb"), key=lambda file: file.parent.name)


def test_a_run_and_its_later_start_read_as_one(written):
    runs = {run.name: run for run in load([written], cache=False).runs}
    assert len(runs) == 2
    run = runs["a <b>name"]
    assert run.state == "done" and run.seed == 3 and run.config["optim"] == {"lr": 0.1}
    assert run.metrics["val/acc"] == 0.5
    loss = run.history["loss"]
    assert loss.steps.tolist() == list(range(0, 600, 10))  # 10 steps were done again
    assert np.isnan(loss.values[5]) and np.isinf(loss.values[6])
    np.testing.assert_allclose(loss.values[[0, 29, 30, 34]], [1, 1 / 30, 1, 1 / 5])
    assert "note" not in run.history and "_step" not in run.history
    bad = next(run for name, run in runs.items() if name != "a <b>name")
    assert bad.config == {"optim": {"lr": 0.2}}  # flat or nested
    assert bad.state == "failed" and "ended with 3" in bad.state_json["error"] and bad.metrics == {}


def test_starts_within_one_second_are_put_in_their_order(written, tmp_path):
    starts = sorted(written.glob("wandb/offline-run-*/run-abc.wandb"), key=os.path.getmtime)
    for folder, start in zip(("T-abc-2", "T-abc-10"), starts, strict=True):
        shutil.copytree(start.parent, tmp_path / f"offline-run-{folder}")
    (run,) = load([tmp_path], cache=False).runs
    assert run.history["loss"].steps.tolist() == list(range(0, 600, 10))


def test_it_says_what_wandbs_own_reader_says(written, tmp_path):
    file = first_start(written)
    home = tmp_path / "offline-run-1-abc"
    home.mkdir()
    shutil.copy(file, home)
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    ours = read_wandb(home).history
    assert ours["loss"].steps.tolist() == [row["trainer/global_step"] for row in rows]
    for name in ("loss", "val/acc", "epoch"):
        theirs = [float(row[name]) for row in rows]
        np.testing.assert_array_equal(ours[name].values, theirs)


def test_a_folder_of_wandbs_is_found_from_anywhere(written, tmp_path):
    (bad,) = [f.parent for f in written.glob("wandb/offline-run-*/run-bad.wandb")]
    assert find_runs(bad) == [bad]
    assert len(find_runs(written / "wandb")) == 3
    shutil.copytree(written, tmp_path / "wandb_runs")
    make_run(tmp_path / "ours")
    assert len(find_runs(tmp_path)) == 4


def test_what_was_read_of_wandb_is_kept_until_it_changes(written, tmp_path):
    home = tmp_path / "runs"
    shutil.copytree(written, home)
    for file in home.rglob("*.wandb"):
        os.utime(file, (1e9, 1e9))
    first = load([home]).runs
    again = load([home]).runs
    assert (home / ".review.npz").exists()
    assert [run.metrics for run in first] == [run.metrics for run in again]
    # The names of two starts within one second differ by a "-1" at their end.
    later = sorted(home.glob("wandb/offline-run-*/run-abc.wandb"), key=lambda f: f.parent.name)[1]
    later.write_bytes(later.read_bytes()[:-3000])
    states = {run.name: run.state for run in load([home]).runs}
    assert states["a <b>name"] == "running"  # a moment ago; no end is recorded


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_killed_run_is_read_up_to_the_kill(written, tmp_path, kept):
    file = first_start(written)
    home = tmp_path / "offline-run-1-abc"
    home.mkdir()
    content = file.read_bytes()
    (home / file.name).write_bytes(content[: int(kept * len(content))])
    os.utime(home / file.name, (1e9, 1e9))
    (run,) = load([tmp_path], cache=False).runs
    assert run.state == "cut off" and run.metrics == {}
    whole = read_wandb(file.parent).history["loss"]
    loss = run.history["loss"]
    assert 0.5 * kept * 40 < len(loss) < 40
    np.testing.assert_array_equal(loss.values[:30], whole.values[:30][: len(loss)])


def test_damage_costs_its_records_only(written, tmp_path):
    file = first_start(written)
    home = tmp_path / "offline-run-1-abc"
    home.mkdir()
    content = bytearray(file.read_bytes())
    middle = content.index(b"x" * 100, len(content) // 2)
    content[middle] ^= 1  # still a record that could be parsed
    (home / file.name).write_bytes(content)
    (run,) = load([tmp_path], cache=False).runs
    assert 36 <= len(run.history["loss"]) < 40 and run.state == "done"
    (home / file.name).write_bytes(b":W&B" + b"\0" * 40)
    with pytest.raises(Refused, match="no record that can be read"):
        load([tmp_path], cache=False)


def test_a_logged_report_is_no_run(written):
    (page,) = [f.parent for f in written.glob("wandb/offline-run-*/run-page.wandb")]
    with pytest.raises(Refused, match="nothing but reports"):
        load([page], cache=False)


LIVES = """
import time, wandb
run = wandb.init(project="p", id="live", settings=wandb.Settings(console="off"))
for step in range(3000):
    run.log({"loss": 1 / (step + 1)})
print("logged", flush=True)
time.sleep(600)
"""


def test_a_run_is_read_while_it_is_written_and_up_to_a_kill(tmp_path):
    environment = environment_of(tmp_path)
    command = [sys.executable, "-c", LIVES]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"logged\n"
            until = time.monotonic() + 60
            while time.monotonic() < until:  # W&B writes a little later than it is asked to
                (run,) = load([tmp_path]).runs
                if len(run.history.get("loss", ())) > 1000:
                    break
                time.sleep(0.1)
            assert run.state == "running" and run.metrics == {}
            before = run.history["loss"]
        finally:
            process.kill()
    (run,) = load([tmp_path]).runs
    loss = run.history["loss"]
    assert 1000 < len(before) <= len(loss) <= 3000
    np.testing.assert_array_equal(loss.values, 1 / (1.0 + loss.steps))
    assert loss.steps.tolist() == list(range(len(loss)))
    for file in tmp_path.rglob("*.wandb"):
        os.utime(file, (1e9, 1e9))
    assert [run.state for run in load([tmp_path]).runs] == ["cut off"]
