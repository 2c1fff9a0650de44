"""Nothing that comes from files of anybody steers a terminal, by whatever command it is shown."""

import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import vit
from vit.cli import attend, evaluate, export, predict, train
from vit.cli.main import main
from vit.cli.screen import refuse, show_report
from vit.console import PlainConsole
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.check_report import (
    CheckReport,
    CostReport,
    DataReport,
    MetricsReport,
    RunReport,
    ScheduleReport,
    SplitReport,
    TrainingReport,
)
from vit.runs.directory import RunFolder
from vit.runs.record import Recorder
from vit.runs.writing import write_json
from vit.sweeps.board import Board, Progressing, Status
from vit.terminal import PlainStream, plain_streams, printable

ESCAPES = "a\x1b[31mb\rc\x07d\x08e\x7ff\x9b2Jg\u202eh\u2066i\u2028j"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def is_plain(said):
    return STEERING.search(said) is None and "\\u001b" in said


def test_control_characters_are_shown_as_text_and_letters_are_left():
    assert printable("Größe 5 日本\tΔ 🦆\n") == "Größe 5 日本\tΔ 🦆\n"
    assert printable("a\x1bb\x9bc\u202ed\udcff") == "a\\u001bb\\u009bc\\u202ed\\udcff"
    assert STEERING.search(printable(ESCAPES)) is None


def test_json_reads_as_what_it_was(capsys):
    with plain_streams():
        print(json.dumps({"name": ESCAPES}, ensure_ascii=False))
    said = capsys.readouterr().out
    assert json.loads(said) == {"name": ESCAPES} and STEERING.search(said.rstrip()) is None


def test_a_plain_stream_is_the_stream_in_all_else():
    beneath = io.StringIO()
    stream = PlainStream(beneath)
    print("a\x1bb", file=stream, flush=True)
    stream.writelines(["c\r", "d"])
    assert beneath.getvalue() == "a\\u001bb\nc\\u000dd"
    assert stream.isatty() is False and stream.getvalue() == beneath.getvalue()


def test_streams_are_put_back_after_a_refusal(capsys):
    before = sys.stdout, sys.stderr
    assert main(["evaluate", "no\x1bsuch"]) == 2
    assert (sys.stdout, sys.stderr) == before
    assert is_plain(capsys.readouterr().err)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_console_shows_text_titles_and_cells_plain_with_its_own_colours(terminal):
    file, colours = io.StringIO(), "standard" if terminal else None
    console = PlainConsole(file=file, force_terminal=terminal, width=200, color_system=colours)
    table = Table(title=ESCAPES)
    table.add_column(Text(ESCAPES))
    table.add_row(Text(ESCAPES), ESCAPES)
    console.print(table)
    console.print(ESCAPES, style="red", markup=False)
    said = file.getvalue()
    assert ("\x1b[31m" in said) == terminal  # the red that was asked for
    own = re.compile(r"\x1b\[[0-9;]*m")
    assert is_plain(own.sub("", said)) and "\x1b[31mb" not in said


def test_all_tables_and_bars_are_drawn_by_that_console():
    """rich's own leaves ESC in, so only vit/console.py makes one."""
    home = Path(vit.__file__).parent
    makers = {
        file.relative_to(home).as_posix()
        for file in home.rglob("*.py")
        if re.search(r"(?<!Plain)\bConsole\(", file.read_text(encoding="utf-8"))
    }
    assert makers == {"bench/loop.py"}  # into a StringIO


def test_a_refusal_is_plain(capsys):
    assert refuse(Refused([Fault(ESCAPES, ESCAPES), Fault("x", "y")], hint=ESCAPES)) == 2
    assert is_plain(capsys.readouterr().err)


def test_the_board_of_a_sweep_is_plain():
    file = io.StringIO()
    board = Board(ESCAPES, PlainConsole(file=file, force_terminal=True, width=200))
    with board:
        running = [Progressing(ESCAPES, 0.5, 1.0, ESCAPES)]
        board.show(Status({"done": 1}, 2, running, best=ESCAPES), now=True)
        board.say(f"failed {ESCAPES}", style="red")
    assert "\x1b[31mb" not in file.getvalue() and "\x9b" not in file.getvalue()
    assert "\u202e" not in file.getvalue() and "\\u202e" in file.getvalue()


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """A sweep with escapes in every name that is shown."""
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "runs" / "sweep"
    for number, state in enumerate(("done", "failed")):
        run = sweep / f"t{number}"
        run.mkdir(parents=True)
        config = {
            "schema_version": 1,
            "seed": number,
            "backbone": {"name": ESCAPES, "depth": number},
            "data": {"batch_size": 1},
            "trainer": {"devices": 1},
            "checkpoint": {"monitor": "val/accuracy", "mode": "max"},
        }
        (run / "config.yaml").write_text(json.dumps(config))
        trial = {"id": f"i{number}", "group": f"g{number}", "label": f"{ESCAPES}{number}"}
        overrides = {"backbone.name": f"{ESCAPES}{number}"}
        write_json(run / "trial.json", {**trial, "seed": number, "overrides": overrides})
        told = {"kind": ESCAPES, "error": ESCAPES, "log_tail": [ESCAPES]}
        write_json(run / "state.json", {"state": state, **told})
        metrics = {"val/accuracy": 0.5, f"val/{ESCAPES}{number}": 0.5}
        Recorder(run / "metrics.jsonl").write(1, 0, metrics, {})
        write_json(run / "metrics.json", {"metrics": metrics, "epochs": 1, "timing": {}})
        write_json(run / "stamp.json", {"git": {"commit": ESCAPES + str(number)}})
    objective = {"metrics": ["val/accuracy"], "modes": ["max"]}
    told = {"schema_version": 1, "objective": objective, "trials": ["i0", "i1"], "name": ESCAPES}
    write_json(sweep / "sweep.json", {**told, "command": ESCAPES})
    return sweep


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "status", "SWEEP"],
        ["report", "SWEEP", "--no-cache"],
        ["diff", "SWEEP/t0", "SWEEP/t1"],
    ],
)
def test_names_labels_errors_and_logs_of_a_sweep_are_plain(swept, capsys, words):
    main([word.replace("SWEEP", str(swept)) for word in words])
    told = capsys.readouterr()
    assert is_plain(told.out + told.err)


def test_the_name_of_a_sweeps_folder_is_plain(swept, capsys):
    odd = swept.with_name("s\x1bweep")
    shutil.move(swept, odd)
    for words in (
        ["sweep", "list", str(odd.parent)],
        ["clean", str(odd / "x"), "--keep", "0"],
        ["leet", str(odd)],
        ["run", str(odd)],
        ["export", str(odd), "--out", "a.safetensors"],
    ):
        main(words)
        told = capsys.readouterr()
        assert is_plain(told.out + told.err), words


def test_classes_and_files_that_a_run_tells_are_plain(swept, capsys, monkeypatch, tmp_path):
    image = tmp_path / "a\x1bb.png"
    image.write_bytes(b"x")
    row = {"path": ESCAPES, "class": ESCAPES, "probability": 0.5, "faithfulness": {}}
    row["classes"] = [{"class": ESCAPES, "probability": 0.5}] * 3
    answers = {
        "vit.jobs.prediction:predict": {"images": [row], "left_out": [ESCAPES]},
        "vit.explain.attend:attend": {"images": [row], "page": ESCAPES},
        "vit.jobs.evaluation:evaluate": {
            "images": 2,
            "split": "test",
            "unit": "image",
            "metrics": {f"test/{ESCAPES}": 0.5},
            "tables": {
                "classes": [ESCAPES],
                "images": [2.0],
                "most_confused": [[ESCAPES, ESCAPES, 1]],
            },
        },
        "vit.jobs.export:export": {
            **{"averaged": False, "parameters": 1, "bytes": 1, "file": ESCAPES, "step": 1}
        },
    }
    monkeypatch.setattr(process, "warm_up", lambda many=False: None)
    monkeypatch.setattr(process, "call", lambda function, *_: answers[function])
    run = str(swept / "t0")
    for command, words in (
        (predict, [run, str(image)]),
        (attend, [run, str(image)]),
        (evaluate, [run]),
        (export, [run]),
    ):
        assert main([command.__name__.rsplit(".", 1)[-1], *words]) == 0
        told = capsys.readouterr()
        assert is_plain(told.out + told.err), command
    for words in ([run, str(image), "--json"], [run, "--text", "x", "--json"]):
        answers["vit.jobs.prediction:predict_texts"] = {"texts": [{"input": ESCAPES}]}
        assert main(["predict", *words]) == 0
        said = capsys.readouterr().out
        assert (
            ESCAPES
            in json.dumps(json.loads(said), ensure_ascii=False)
            .encode()
            .decode("unicode_escape", "ignore")
            or "\\u001b" in said
        )
        assert STEERING.search(said.rstrip()) is None


def test_a_training_s_summary_failure_and_check_are_plain(swept, capsys):
    folder = RunFolder(swept / "t0")
    with plain_streams():
        train.summary(folder)
        train.failure(RunFolder(swept / "t1"), 1)
    told = capsys.readouterr()
    assert STEERING.search(told.out) is None and is_plain(told.err)
    counts = {"objects": 1, "empty": 0, "most_objects": 1}
    facts = {"num_classes": 1, "image_size": (8, 8), "channels": 1}
    run = RunReport(
        training=TrainingReport(1, 1, 1, 1, 1, 1),
        metrics=MetricsReport([], {}, []),
        schedule=ScheduleReport(1.0, [1.0]),
        checkpoints=1,
        cost=CostReport(1, 1.0, "image", facts),
        memory=None,
        data=DataReport({"train": SplitReport(1, None, {ESCAPES: 1}, counts)}, ""),
        gpus=[],
    )
    show_report(CheckReport([], [], [ESCAPES], run))
    assert is_plain(capsys.readouterr().out)


def test_a_stream_that_is_closed_is_printed_to_by_nobody(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    assert main(["--version"]) == 0
    assert sys.stdout is None
