"""vit diff tells in what two runs differ, and where they part."""

import json
from pathlib import Path

import pytest
import yaml

from vit.cli.diff import main
from vit.faults import Refused
from vit.runs.fingerprints import line_of, lines_file
from vit.runs.record import Recorder, append_lines


def run(folder, *, depth=4, losses=(3.0, 2.0, 1.0), commit="abc", fingerprints=True):
    folder.mkdir()
    config = {"schema_version": 1, "name": folder.name, "backbone": {"depth": depth}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "stamp.json").write_text(json.dumps({"git": {"commit": commit}}))
    if fingerprints:
        lines = [
            line_of(step, 0, 1, 8, {"samples": step, "pixels": step, "loss": loss})
            for step, loss in enumerate(losses)
        ]
        append_lines(lines_file(folder, 0), lines)
    return str(folder)


def test_equal_runs_are_said_to_be_equal(tmp_path, capsys):
    assert main([run(tmp_path / "a"), run(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert "configs and stamps are equal" in shown and "all 3 that both have are equal" in shown


def test_config_commit_and_the_first_step_are_named(tmp_path, capsys):
    a = run(tmp_path / "a")
    b = run(tmp_path / "b", depth=6, losses=(3.0, 2.5, 1.5), commit="def")
    assert main([a, b]) == 1
    shown = capsys.readouterr().out
    assert "backbone.depth: 4, now 6" in shown and "commit: 'abc', now 'def'" in shown
    assert "the first to differ is 1 (epoch 0), by loss: 2.0, now 2.5" in shown


def recorded(folder, accuracies, **more):
    """A run that recorded an epoch for each accuracy, ten steps each; the rest is as in `run`."""
    shown = run(folder)
    recorder = Recorder(folder / "metrics.jsonl")
    for epoch, accuracy in enumerate(accuracies):
        metrics = {"val/accuracy": accuracy, "val/loss": 1 - accuracy, "lr": 0.1, **more}
        recorder.write(10 * (epoch + 1), epoch, metrics, {"step_seconds": accuracy})
    return shown


def test_metrics_are_compared_by_their_best_and_their_last(tmp_path, capsys):
    a = recorded(tmp_path / "a", [0.5, 0.75, 0.5])
    b = recorded(tmp_path / "b", [0.5, 0.75, float("nan"), 0.625], extra=1.0)
    assert main([a, b, "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)["recorded"]
    assert (shown["epochs"], shown["optimizer_steps"]) == ([3, 4], [30, 40])
    assert shown["metrics"] == [
        {
            "metric": "val/accuracy",
            "mode": "max",
            "best": [0.75, 0.75, 0.0],
            "last": [0.5, 0.625, 0.125],
        },
        {
            "metric": "val/loss",
            "mode": "min",
            "best": [0.25, 0.25, 0.0],
            "last": [0.5, 0.375, -0.125],
        },
    ]
    assert (shown["only_first"], shown["only_second"]) == ([], ["extra"])
    assert main([a, b]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "epochs: 3, now 4" in lines and "metrics that only the second run has: extra" in lines
    (head,) = [line.split("  ") for line in lines if line.startswith("metrics  ")]
    named = [word.strip() for word in head if word.strip()]
    assert named[1:4] == ["best: first", "second", "difference"] and named[4] == "last: first"
    (row,) = [line.split() for line in lines if line.startswith("val/accuracy")]
    assert row == ["val/accuracy", "0.75", "=", "0.5", "0.625", "+0.125"]


def done(folder):
    shown = recorded(folder, [0.5, 0.75])
    (folder / "metrics.json").write_text(json.dumps({"metrics": {"val/accuracy": 0.75}}))
    (folder / "state.json").write_text(json.dumps({"state": "done"}))
    return shown


def cut(file):
    file.write_text(file.read_text()[:-2])


def led_out(file):
    other = file.parent.parent / f"other-{file.name}"
    file.rename(other)
    file.symlink_to(other)


def spoilt(file):
    file.write_text("no record\n" + file.read_text())


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(
    ("name", "spoil", "shown"),
    [
        ("metrics.json", cut, "cut short"),
        ("metrics.json", led_out, "is a link that leads out of"),
        ("metrics.json", Path.unlink, "is not there"),
        ("metrics.jsonl", Path.unlink, "is not there"),
        ("metrics.jsonl", spoilt, "1 of 3 lines cannot be read, such as line 1"),
        ("state.json", cut, "cut short"),
        ("stamp.json", Path.unlink, "is not there"),
        ("fingerprints.jsonl", Path.unlink, "is not there"),
        ("fingerprints.jsonl", spoilt, "1 of 4 lines cannot be read"),
    ],
)
def test_runs_are_not_equal_as_long_as_a_file_cannot_be_read(
    tmp_path, capsys, name, spoil, shown, both
):
    a, b = done(tmp_path / "a"), done(tmp_path / "b")
    for run_dir in (tmp_path / "a", tmp_path / "b"):
        config = yaml.safe_load((run_dir / "config.yaml").read_text())
        config["watch"] = {"fingerprints": True}
        (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    assert main([a, b]) == 0
    assert "not compared" not in capsys.readouterr().out
    for run_dir in (tmp_path / "a", tmp_path / "b") if both else (tmp_path / "b",):
        spoil(run_dir / name)
    assert main([a, b]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(shown in line and f"b/{name}" in line for line in lines)
    assert "metrics are equal" not in lines


def test_runs_that_recorded_the_same_do_not_differ_by_their_clocks(tmp_path, capsys):
    a = recorded(tmp_path / "a", [0.5, float("nan")])
    b = recorded(tmp_path / "b", [0.5, float("nan")])
    Recorder(tmp_path / "b" / "metrics.jsonl").write(20, 1, {}, {"step_seconds": 9.0})
    assert main([a, b]) == 0
    assert "metrics are equal" in capsys.readouterr().out


def test_a_tolerance_overlooks_roundings_only(tmp_path, capsys):
    runs = [run(tmp_path / "a"), run(tmp_path / "b", losses=(3.0, 2.0001, 1.5))]
    assert main([*runs, "--json", "--tolerance", "0.01"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["steps"], shown["divergence"]["step"], shown["divergence"]["by"]) == (
        3,
        2,
        "loss",
    )


def test_without_fingerprints_the_steps_are_not_compared(tmp_path, capsys):
    assert main([run(tmp_path / "a"), run(tmp_path / "b", fingerprints=False)]) == 0
    assert "watch.fingerprints=true" in capsys.readouterr().out


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(Refused, match="no run folder"):
        main([run(tmp_path / "a"), str(tmp_path / "nothing")])
    with pytest.raises(Refused, match="--tolerance"):
        main([str(tmp_path / "a"), str(tmp_path / "a"), "--tolerance", "2"])
