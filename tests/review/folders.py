"""Run folders as `vit train` leaves them, made in a moment."""

import json
import os
import time

import yaml

from vit.runs.record import Recorder


def make_run(
    folder,
    *,
    depth=4,
    lr=0.1,
    seed=0,
    accuracy=0.9,
    points=3,
    state="done",
    old=True,
    monitor="val/accuracy",
    more=None,
    **state_json,
):
    """`more` joins the config, `state_json` state.json. A cache may keep an `old` folder."""
    folder.mkdir(parents=True)
    config = {
        "schema_version": 1,
        "name": folder.name,
        "seed": seed,
        "backbone": {"depth": depth},
        "optim": {"lr": lr},
        "data": {"batch_size": 32},
        "checkpoint": {"monitor": monitor, "mode": "max"},
        **(more or {}),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    put(folder / "state.json", {"state": state, "train_seconds": 10.0 * depth, **state_json})
    stamp = {
        "command": f"vit train backbone.depth={depth}",
        "folder": "/somewhere",
        "git": {"commit": "a" * 40, "diff": ""},
        "packages": {"torch": "2.14.1"},
        "data": {"fingerprint": "f" * 32},
    }
    put(folder / "stamp.json", stamp)
    recorder = Recorder(folder / "metrics.jsonl")
    for point in range(points):
        step = 10 * (point + 1)
        timing = {"step_seconds": 0.1, "images_per_second": 320.0, "peak_memory_mb": 500.0 * depth}
        recorder.write(step, point, {"train/loss": 1 / step}, timing)
        recorder.write(step, point, {monitor: accuracy * (point + 1) / points}, {})
    if state == "done":
        metrics = {monitor: accuracy, "test/accuracy": accuracy - 0.01}
        put(folder / "metrics.json", {"metrics": metrics, "steps": 10 * points, "epochs": points})
    if old:
        age(folder)
    return folder


def age(folder):
    """Makes its files an hour old."""
    for file in folder.iterdir():
        os.utime(file, (time.time() - 3600, time.time() - 3600))


def put(file, content):
    file.write_text(json.dumps({"schema_version": 1, **content}))


def make_sweep(folder, gain=0.02, *, seeds=3, depths=(2, 4, 6), more=None):
    """Depths times seeds; a deeper one is better by `gain`, seeds differ by ±0.003."""
    ids = []
    for depth in depths:
        for seed in range(seeds):
            accuracy = 0.8 + gain * depth + 0.003 * (seed - 1) * (1 + 0.1 * depth)
            run = make_run(folder / f"depth_{depth}-{seed}", depth=depth, seed=seed, more=more)
            results = {"metrics": {"val/accuracy": accuracy}, "steps": 30, "epochs": 3}
            put(run / "metrics.json", results)
            ids.append(f"id{depth}{seed}")
            overrides = {"backbone.depth": str(depth), "seed": str(seed)}
            put(run / "trial.json", {"id": ids[-1], "group": f"g{depth}", "overrides": overrides})
            age(run)
    objective = {"metrics": ["val/accuracy"], "modes": ["max"]}
    put(folder / "sweep.json", {"trials": ids, "command": "vit train -m", "objective": objective})
    return folder
