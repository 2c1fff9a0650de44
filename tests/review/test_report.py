"""vit report as a person uses it: a table, a verdict, a page; JSON for programs."""

import json
import subprocess
import sys

import pytest
from folders import make_run, make_sweep

from vit.doors.report import main
from vit.faults import Refused


def test_a_sweep_is_ranked_and_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(make_sweep(tmp_path / "sweep"))]) == 0
    told = capsys.readouterr().out
    assert "9 runs (9 done) of 3 configurations" in told
    assert "depth=6 is best: val/accuracy 0.92" in told and "baseline" in told
    assert told.endswith("page  report.html\n")
    assert "Which is best?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_json_holds_the_same_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(make_sweep(tmp_path / "sweep", gain=0.0001)), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["kind"] == "unclear" and told["metric"] == "val/accuracy"
    first = told["configurations"][0]
    assert first["n"] == 3 and first["values"].keys() == {"0", "1", "2"}
    assert not (tmp_path / "report.html").exists()
    assert main([str(tmp_path / "sweep"), "--json", "--baseline", "depth=4"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["baseline"] != told["baseline"]


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
    told = capsys.readouterr().out
    assert "\x1b" not in told and "\x07" not in told and "[red]bold[/red]" in told


def test_torch_is_not_imported_for_it(tmp_path):
    make_run(tmp_path / "run")
    code = "import sys; from vit.doors.main import main; main(sys.argv[1:]); "
    code += "sys.exit('torch' in sys.modules or 'scipy.stats' in sys.modules)"
    command = [sys.executable, "-c", code, "report", str(tmp_path), "--json"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_runs_of_different_tasks_lie_in_one_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_sweep(tmp_path / "runs" / "classify")
    detector = make_run(tmp_path / "runs" / "detect", monitor="val/ap50", more={"boxes": True})
    assert detector.is_dir()
    assert main(["runs"]) == 0
    told = capsys.readouterr().out
    assert "10 runs (10 done) of 4 configurations" in told and "is best: val/accuracy" in told
    assert "note: done, but without a finite val/accuracy: 1 (detect)" in told
    assert main(["runs", "--metric", "val/ap50"]) == 0
    assert "val/ap50 (higher is better)" in capsys.readouterr().out
