"""Seconds that `vit report` takes for 200 runs of 1,000 points, and the size of its page.

    python tests/review/many_runs.py --out runs/many [--runs 200] [--points 1000] [--wandb]

Makes the run folders (invented curves, in the form that `vit train` writes; with --wandb by as many
offline runs of wandb itself, about 1 s each) unless they are there, then runs the command twice as
a person would: with nothing kept from before, and again. Ends with 1 where the first takes over
12 s, the second over 3 s, the page more than 8 MB, or Chromium (if it is there) over 5 s to the
leaderboard or 15 s to the last picture.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import yaml
from browser import Browser, chromium

SEEDS = 3
FIRST_SECONDS, AGAIN_SECONDS, PAGE_MB = 12.0, 3.0, 8.0


def make(folder, runs, points, write):
    draw = random.Random(0)
    for number in range(runs):
        seed = number % SEEDS
        point = number // SEEDS
        depth, lr = (2, 4, 6, 8)[point % 4], (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)[point // 4 % 5]
        drop, pool = (0.0, 0.1, 0.2, 0.3)[point // 20 % 4], ("mean", "cls")[point % 2]
        skill = 0.7 + 0.02 * math.log2(depth) - 0.04 * math.log10(lr / 1e-3) ** 2 - 0.03 * drop
        skill += draw.gauss(0, 0.004)
        setting = {"depth": depth, "lr": lr, "drop": drop, "pool": pool}
        write(folder / f"trial-{number:03}", setting, seed, skill, points, number % 23 == 7, draw)


def one_run(folder, setting, seed, skill, points, fails, draw):
    folder.mkdir(parents=True)
    config = {
        "schema_version": 1,
        "name": folder.name,
        "seed": seed,
        "backbone": {"depth": setting["depth"], "drop_path": setting["drop"]},
        "head": {"pool": {"_target_": f"vit.layers.pool.{setting['pool'].title()}Pool"}},
        "optim": {"lr": setting["lr"]},
        "data": {"batch_size": 256},
        "checkpoint": {"monitor": "val/accuracy", "mode": "max"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    recorded = points // 3 if fails else points
    lines = []
    for point in range(recorded):
        step, epoch = 50 * (point + 1), point // 10
        done = (point + 1) / points
        loss = 2.3 * math.exp(-4 * done) + 0.4 + draw.gauss(0, 0.03)
        metrics = {"train/loss": loss, "train/accuracy": 1 - loss / 3, "lr": setting["lr"]}
        metrics["train/grad_norm"] = 1 + abs(draw.gauss(0, 0.2))
        seconds = 0.01 * setting["depth"] * (1 + 0.1 * draw.random())
        timing = {"images_per_second": 256 / seconds, "step_seconds": seconds, "data_wait": 0.02}
        timing["peak_memory_mb"] = 300.0 + 90 * setting["depth"]
        if point % 10 == 9:
            accuracy = skill * (1 - math.exp(-5 * done)) + draw.gauss(0, 0.004)
            metrics |= {"val/accuracy": accuracy, "val/loss": 1.5 - accuracy, "val/ece": 0.03}
        line = {"schema_version": 1, "step": step, "epoch": epoch, "metrics": metrics}
        lines.append(json.dumps({**line, "timing": timing}))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    state = {"schema_version": 1, "state": "done", "train_seconds": 12.0 * setting["depth"]}
    if fails:
        tail = [f"epoch {epoch}  train/loss {2 - epoch / 9:.4f}" for epoch in range(8)]
        tail.append("stopped: train/loss is nan at step 16650; its batch is in bad_batch.pt")
        error = "train/loss is nan at step 16650"
        state |= {"state": "failed", "kind": "diverged", "error": error, "log_tail": tail}
    else:
        final = {"val/accuracy": skill + draw.gauss(0, 0.006)}
        final["test/accuracy"] = final["val/accuracy"] - 0.01
        results = {"metrics": final, "steps": 50 * points, "epochs": points // 10}
        (folder / "metrics.json").write_text(json.dumps({"schema_version": 1, **results}))
    (folder / "state.json").write_text(json.dumps(state))
    stamp = {"command": "vit train -m experiment=invented seed=range(3)", "folder": "/invented"}
    stamp |= {"packages": {"torch": "2.14.1"}, "git": {"commit": "0" * 40, "diff": ""}}
    (folder / "stamp.json").write_text(json.dumps({"schema_version": 1, **stamp}))


def one_wandb_run(folder, setting, seed, skill, points, fails, draw):
    """As `one_run`, but nothing is left of it except what wandb wrote, all in one `wandb/`."""
    home = folder.parent / "wandb"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("DATA", "CACHE", "CONFIG"):
        os.environ[f"WANDB_{name}_DIR"] = str(home / name.lower())
    import wandb

    settings = wandb.Settings(console="off", silent=True, disable_git=True)
    config = {**setting, "seed": seed}
    run = wandb.init(
        name=folder.name, dir=folder.parent, mode="offline", config=config, settings=settings
    )
    run.define_metric("val/accuracy", summary="max")
    for point in range(points // 3 if fails else points):
        done = (point + 1) / points
        loss = 2.3 * math.exp(-4 * done) + 0.4 + draw.gauss(0, 0.03)
        row = {"train/loss": loss, "train/accuracy": 1 - loss / 3, "epoch": point // 10}
        row |= {"lr": setting["lr"], "train/grad_norm": 1 + abs(draw.gauss(0, 0.2))}
        if point % 10 == 9:
            accuracy = skill * (1 - math.exp(-5 * done)) + draw.gauss(0, 0.004)
            row |= {"val/accuracy": accuracy, "val/loss": 1.5 - accuracy}
        run.log({**row, "trainer/global_step": 50 * (point + 1)})
    run.finish(exit_code=int(fails))


def timed(folder, page):
    began = time.perf_counter()
    command = [sys.executable, "-m", "vit", "report", str(folder), "--out", str(page)]
    command += ["--metric", "val/accuracy"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def drawn(page):
    """Seconds until the leaderboard stands, and until all pictures do, scrolled through."""
    with Browser() as browser:
        table = browser.open(page)
        began = time.perf_counter()
        for name in ("mattered", "curves", "cost"):
            if not browser.evaluate(f"document.getElementById('{name}') !== null"):
                continue  # wandb's own runs do not tell what they cost
            browser.evaluate(f"document.getElementById('{name}').scrollIntoView()")
            browser.wait(f"document.querySelector('#{name} svg') !== null")
        return table, table + time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--wandb", action="store_true", help="runs that wandb itself has written")
    arguments = parser.parse_args()
    folder, page = arguments.out, arguments.out / "report.html"
    if not folder.exists():
        write = one_wandb_run if arguments.wandb else one_run
        make(folder, arguments.runs, arguments.points, write)
        time.sleep(2.5)  # what is newer than 2 s is not kept
    (folder / ".review.npz").unlink(missing_ok=True)
    first, again = timed(folder, page), timed(folder, page)
    size = page.stat().st_size / 1e6
    print(f"first {first:.1f} s, again {again:.1f} s, page {size:.2f} MB")
    table, whole = drawn(page) if chromium() else (0.0, 0.0)
    print(f"in Chromium: leaderboard {table:.1f} s, all pictures {whole:.1f} s")
    slow = first > FIRST_SECONDS or again > AGAIN_SECONDS or table > 5 or whole > 15
    return int(slow or size > PAGE_MB)


if __name__ == "__main__":
    sys.exit(main())
