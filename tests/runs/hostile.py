"""A small made sweep, and every way in which one of its small files may be another than it was."""

import contextlib
import io
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from vit.cli.main import main
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.claim import claim
from vit.runs.fingerprints import line_of
from vit.runs.mistake_gallery import Album, Mistake, write_album
from vit.runs.predictions import Predictions, write_predictions
from vit.runs.record import Recorder, append_lines

ESCAPE = "\x1b[31mred\x1b[0m\r\x9b2J\u202e"
DEEP = 5000
SECONDS = 10  # that a command may take


def made_sweep(folder: Path) -> Path:
    """Two trials that are done, one that failed: all the small files that `vit train -m` leaves."""
    folder.mkdir(parents=True)
    ids = []
    for number, state in enumerate(("done", "done", "failed")):
        ids.append(f"id{number}")
        _made_run(folder / f"depth_{number}-seed_0-1234567{number}", number, state, ids[-1])
    put(
        folder / "sweep.json",
        name=folder.name,
        command="vit train -m backbone.depth=0,1",
        arguments=["-m", "backbone.depth=0,1"],
        folder=str(folder),
        path=str(folder),
        code={"vit": "a" * 12, "packages": {"torch": "2.14.1"}},
        data={"abc": "f" * 32},
        objective={"metrics": ["val/accuracy"], "modes": ["max"]},
        threads=1,
        space=None,
        study=folder.name,
        trials=ids,
        created=1.0e9,
        updated=1.0e9,
    )
    claim(folder).release()
    (folder / "results.csv").write_text("trial,seed\n")
    return folder


def _made_run(run: Path, number: int, state: str, name: str) -> None:
    run.mkdir()
    config = {
        "schema_version": 1,
        "name": run.name,
        "seed": 0,
        "threads": 1,
        "compile": False,
        "allow_targets": [],
        "backbone": {"_target_": "vit.models.backbone.ViT", "depth": number},
        "head": {"pool": {"_target_": "vit.layers.pool.MeanPool"}},
        "task": {"_target_": "vit.tasks.classification.Classification", "loss": "ce"},
        "optim": {"lr": 0.1 * (number + 1)},
        "schedule": {"_target_": "vit.optim.schedules.Cosine", "warmup_epochs": 0},
        "data": {"_target_": "vit.data.digits.Digits", "batch_size": 32, "input_column": 0},
        "trainer": {"devices": 1, "max_epochs": 3},
        "checkpoint": {"monitor": "val/accuracy", "mode": "max"},
        "tracking": {"_target_": "vit.runs.tracking.Untracked"},
        "ema": None,
        "watch": {"_target_": "vit.callbacks.watch.Watch", "attention": 0},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    told = {"kind": "exception", "error": "it broke", "log_tail": ["one", "two"]}
    put(
        run / "state.json",
        state=state,
        started=1.0e9,
        updated=1.0e9,
        owner={"host": "here", "pid": 5},
        exit_code=int(state == "failed"),
        train_seconds=12.5,
        cpu_seconds=20.0,
        **(told if state == "failed" else {"error": None}),
    )
    put(
        run / "stamp.json",
        vit="0.1",
        created="2026-11-29",
        command="vit train",
        folder="/somewhere",
        git={"commit": "a" * 40, "diff": "", "diff_was_cut": False, "untracked": ["a.py"]},
        python="3.11",
        packages={"torch": "2.14.1"},
        hardware={"machine": "x86", "cores": 2, "cpu": "some", "gpus": []},
        data={"fingerprint": "f" * 32, "train": {"images": 10}},
        facts={"parameters": 1000},
    )
    put(
        run / "trial.json",
        id=name,
        group=f"g{number}",
        label=run.name,
        point=number,
        seed=0,
        overrides={"backbone.depth": str(number)},
        cost=1.5,
        facts={"parameters": 1000},
        attempts=[{"started": 1.0e9, "ended": 1.0e9, "exit_code": 0, "state": state}],
    )
    recorder = Recorder(run / "metrics.jsonl")
    for point in range(2):
        timing = {"images_per_second": 320.0}
        metrics = {"train/loss": 1.0 / (point + 1), "val/accuracy": 0.5 + 0.1 * number}
        recorder.write(10 * (point + 1), point, metrics, timing)
    if state == "done":
        put(
            run / "metrics.json",
            name=run.name,
            seed=0,
            metrics={"val/accuracy": 0.5 + 0.1 * number, "test/accuracy": 0.5},
            best={"epoch": 1, "step": 20},
            final={"val/accuracy": 0.5},
            timing={"train_seconds": 12.5, "cpu_seconds": 20.0},
            tables={
                "classes": ["a", "b"],
                "images": [5, 5],
                "class_accuracy": [0.5, 0.6],
                "confusion": [[3, 2], [1, 4]],
                "calibration": [{"images": 5, "accuracy": 0.5, "confidence": 0.6}],
                "most_confused": [["a", "b", 2]],
            },
            steps=20,
            epochs=2,
            unit="image",
        )
        picture = Image.new("RGB", (8, 8), (number, 0, 0))
        write_album(run, "test", Album([Mistake(picture, "taken for b", "a.png")], [("a", "#fff")]))
        (run / "attend").mkdir()
        picture.save(run / "attend" / "000-image.png")
        row = {"path": "a.png", "sha256": "0" * 64, "class": "a", "files": {}}
        row["files"] = {"image": "000-image.png", "sheet": "000-sheet.png"}
        put(run / "attend" / "attend.json", run=str(run), images=[row], page="attend.html")
        lines = [
            line_of(
                step,
                0,
                1,
                32,
                {"samples": 5, "pixels": 6, "loss": 0.5, "gradient_norm": 1.0, "weights": 7},
            )
            for step in range(2)
        ]
        append_lines(run / "fingerprints.jsonl", lines)
        two = np.arange(2)
        write_predictions(run, "test", Predictions(two, two, two[::-1], two / 2, "abc"))
    (run / "log.txt").write_text("said one\nsaid two\n")
    (run / "console.txt").write_text("said\n")
    claim(run).release()


def put(file: Path, **content) -> None:
    file.write_text(json.dumps({"schema_version": 1, **content}, indent=1))


# What stands where another value stood; the deep one is written by hand, as no encoder would.
VALUES = (
    *(None, True, -1, 10**30, 1e300, float("nan"), "", "x" * 5000, [], {}, ESCAPE, ["a", 1]),
    {"a": None},
)
DEEP_MARK = "DEEP-MARK"


def leaves(told, path=()):
    """Every place in a value: keys of mappings and numbers of lists, and what holds them."""
    yield path
    if isinstance(told, dict | list):
        inner = told.items() if isinstance(told, dict) else enumerate(told)
        for key, value in inner:
            yield from leaves(value, (*path, key))


def replaced(told, path, value):
    if not path:
        return value
    changed = dict(told) if isinstance(told, dict) else list(told)
    changed[path[0]] = replaced(told[path[0]], path[1:], value)
    return changed


def without(told, path):
    """The same where a key is not there."""
    changed = dict(told) if isinstance(told, dict) else list(told)
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = without(told[path[0]], path[1:])
    return changed


def changed_texts(file: Path):
    """(what was done, the file's new text) for every value of a JSON, JSON lines or YAML file."""
    text = file.read_text()
    if file.suffix == ".jsonl":
        first, _, rest = text.partition("\n")
        for name, line in _changed(json.loads(first), json.dumps):
            yield name, f"{line}\n{rest}"
        return
    if file.suffix == ".yaml":
        yield from _changed(
            yaml.safe_load(text), lambda told: yaml.safe_dump(told, sort_keys=False)
        )
        return
    yield from _changed(json.loads(text), json.dumps)


def _changed(told, dump):
    deep = "[" * DEEP + "]" * DEEP
    for path in leaves(told):
        where = ".".join(map(str, path)) or "all"
        for value in (*VALUES, DEEP_MARK):
            new = dump(replaced(told, path, value))
            for quoted in (f'"{DEEP_MARK}"', DEEP_MARK):
                new = new.replace(quoted, deep)
            yield f"{where}={str(value)[:12]!r}", new
        if path:
            yield f"{where} is not there", dump(without(told, path))


def become(kind: str, file: Path, outside: Path) -> None:
    """Puts something else in a file's place."""
    content = file.read_bytes()
    file.unlink()
    if kind == "empty":
        file.touch()
    elif kind == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif kind == "binary":
        file.write_bytes(bytes(range(256)) * 20)
    elif kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "zeros":
        file.symlink_to("/dev/zero")
    elif kind == "itself":
        file.symlink_to(file.name)
    elif kind == "outside":
        file.symlink_to(outside)
    elif kind == "gone":
        pass
    elif kind == "bomb":
        lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
        lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
        file.write_text("schema_version: 1\n" + "\n".join(lines))
    elif kind == "escapes":
        file.write_text(f"{ESCAPE}\n" * 3)
    else:
        raise ValueError(kind)


WHOLE = (
    *("empty", "cut", "binary", "folder", "pipe", "zeros", "itself", "outside", "gone", "bomb"),
    "escapes",
)


def remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)


class Hung(BaseException):
    """Nothing catches it by mistake."""


def told_by(words: list[str]) -> tuple[int, str, float]:
    """Exit code, all that was said, and seconds; of a command in this process."""

    def end(*_):
        raise Hung(f"{words} took more than {SECONDS} s")

    said = io.StringIO()
    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    began = time.perf_counter()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return code, said.getvalue(), time.perf_counter() - began


def stop_at_the_work(monkeypatch) -> None:
    """Commands that start a process end where they would: all files were read by then."""

    def called(function, *arguments):
        raise Refused([Fault(function, "not in this test")])

    monkeypatch.setattr(process, "warm_up", lambda many=False: None)
    monkeypatch.setattr(process, "call", called)
    monkeypatch.setattr("vit.jobs.training.train", called)
    monkeypatch.setattr("vit.runs.torchrun.train_together", called)


def commands(sweep: Path, run: Path, other: Path, image: Path, out: Path) -> dict[str, list[str]]:
    return {
        "report": ["report", str(sweep), "--no-cache", "--out", str(out / "report.html")],
        "json": ["report", str(run), "--no-cache", "--json"],
        "diff": ["diff", str(run), str(other)],
        "status": ["sweep", "status", str(sweep)],
        "status --json": ["sweep", "status", str(sweep), "--json"],
        "list": ["sweep", "list", str(sweep.parent)],
        "clean": ["clean", str(sweep), "--keep", "0", "--dry-run"],
        "leet": ["leet", str(sweep), "--links"],
        "evaluate": ["evaluate", str(run)],
        "predict": ["predict", str(run), str(image), "--out", str(out)],
        "attend": ["attend", str(run), str(image), "--out", str(out)],
        "export": ["export", str(run)],
        "run": ["run", str(run)],
    }


# Which commands read which file.
OF_A_RUN = ("report", "json", "diff", "status", "list", "clean")
READERS = {
    "config.yaml": (*OF_A_RUN, "evaluate", "predict", "attend", "export", "run"),
    "state.json": (*OF_A_RUN, "status --json"),
    "trial.json": (*OF_A_RUN, "status --json"),
    "metrics.json": (*OF_A_RUN, "status --json"),
    "metrics.jsonl": ("report", "json", "diff", "clean"),
    "stamp.json": ("report", "json", "diff"),
    "fingerprints.jsonl": ("diff",),
    "pictures.json": ("report",),
    "attend.json": ("report",),
    "sweep.json": ("report", "status", "status --json", "list", "clean", "leet"),
    "000001.json": ("report", "status", "list", "clean"),
    "log.txt": ("report", "status"),
    "console.txt": ("report",),
    "predictions-test.npz": ("report",),
    "results.csv": ("status",),
    "000-image.png": ("report",),
}
