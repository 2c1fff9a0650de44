"""Runs of one and of two processes, killed at random moments until they come to their end.

    python tests/jobs/kills.py --kills 100 --seed 0 --out experiments/0005_killed_a_hundred_times

Every run must end with the weights and metrics of the undisturbed one. A checkpoint is written at
each step, so that many kills strike while one is being written. Prints a line a kill and writes
results.csv; exits with 1 where a number differs.

    python tests/jobs/kills.py --kills 10 --experiment digit_scenes
    python tests/jobs/kills.py --kills 10 --with checkpoint.asynchronous=true
    python tests/jobs/kills.py --kills 10 --processes 2 \\
        --with trainer=fsdp ema=none checkpoint.sharded=true
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch

from vit.callbacks.checkpoints.saving import tidy
from vit.cli.compose import compose
from vit.runs.checkpoint import read_checkpoint
from vit.runs.directory import RunFolder

COMMON = [
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=25",
    "tracking=none",
    "threads=1",
    "ema=standard",
    "trainer.accelerator=cpu",
    "checkpoint.every_n_steps=1",
]
SCENES = ["data.train_scenes=64", "data.val_scenes=8", "data.test_scenes=4", "backbone.heads=2"]
WORDS = {
    "digits": ["task.mixup=0.4"],
    "digit_scenes": [*SCENES, "head.neck.num_blocks=1", "head.num_layers=1", "head.groups=2"],
    "digit_masks": [*SCENES, "head.joint_blocks=1", "task.num_points=64"],
}
TWO = ["trainer=ddp", "trainer.devices=2"]
LONGEST = 300.0


def freeze(folder: Path, processes: int, experiment: str, more: list[str]) -> RunFolder:
    run = RunFolder(folder)
    words = [f"experiment={experiment}", *COMMON, *WORDS[experiment], *more]
    run.freeze(compose([*(TWO if processes == 2 else []), *words]))
    return run


def start(run: RunFolder, processes: int) -> subprocess.Popen:
    words = [sys.executable, "-m", "vit", "run", str(run.path)]
    if processes > 1:
        agent = ["-m", "vit.runs.agent", "--standalone", f"--nproc-per-node={processes}"]
        words = [sys.executable, *agent, *words[1:]]
    with (run.path / "said.txt").open("a") as said:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            words, stdout=said, stderr=said, start_new_session=True, env=environment
        )


def members(run: RunFolder) -> list[int]:
    found = subprocess.run(["pgrep", "-f", str(run.path)], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split() if int(pid) != os.getpid()]


def numbers(run: RunFolder) -> tuple[dict, dict]:
    last = read_checkpoint(run.last_checkpoint)
    records: dict[int, dict] = {}
    for line in run.metrics_file.read_text().splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue  # cut off by a kill
        records.setdefault(result["step"], {}).update(result["metrics"])
    return last["state_dict"], records


def losses(run: RunFolder) -> dict[tuple[str, int], float]:
    """Every loss of training and validation that a run has recorded, by name and step."""
    found = {}
    for line in run.metrics_file.read_text().splitlines():
        result = json.loads(line)
        for name in ("train/loss", "val/loss"):
            if name in result["metrics"]:
                found[name, result["step"]] = result["metrics"][name]
    return found


def equal(found: tuple[dict, dict], wanted: tuple[dict, dict]) -> bool:
    same = all(torch.equal(found[0][key], wanted[0][key]) for key in wanted[0])
    return same and found[1] == wanted[1]


def half_written(run: RunFolder) -> bool:
    shards = len(list((run.checkpoints / "shards").glob("*")))
    return any(run.checkpoints.glob("*.part")) or shards > len(list(run.checkpoints.glob("*.ckpt")))


def strike(run: RunFolder, process: subprocess.Popen, chance: random.Random, wait: float) -> dict:
    """Kills at a random moment of the training; an empty answer where it had ended before."""
    until = time.monotonic() + LONGEST
    first = run.state().updated
    while run.state().updated == first or run.state().name != "running":
        if process.poll() is not None or time.monotonic() > until:
            return {}
        time.sleep(0.01)
    until = time.monotonic() + chance.uniform(0, wait)
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    writing = chance.random() < 0.5  # then wait for the next checkpoint to be half-written
    until = time.monotonic() + 2
    victims = members(run)
    if chance.random() < 0.5:
        victims = victims and [chance.choice(victims)]
    while writing and not half_written(run) and time.monotonic() < until and process.poll() is None:
        pass
    if process.poll() is not None or not victims:
        return {}
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    result = {"killed": len(victims), "half_written": half_written(run)}
    process.wait(LONGEST)
    until = time.monotonic() + 60
    while members(run) and time.monotonic() < until:
        time.sleep(0.05)
    return {**result, "left_behind": len(members(run))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--experiment", choices=WORDS, default="digits")
    parser.add_argument("--with", nargs="+", default=[], dest="more", metavar="WORD")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    rows: list[dict] = []
    home = Path(tempfile.mkdtemp(prefix="kills-"))
    for processes in arguments.processes:
        peace = freeze(home / f"peace{processes}", processes, arguments.experiment, arguments.more)
        began = time.monotonic()
        assert start(peace, processes).wait(LONGEST) == 0, (peace.path / "said.txt").read_text()
        seconds = peace.state().train_seconds
        print(f"{processes} undisturbed: {time.monotonic() - began:.0f} s", flush=True)
        wanted = numbers(peace)
        killed, runs = 0, 0
        most = arguments.kills // len(arguments.processes)
        while killed < most:
            runs += 1
            run = freeze(
                home / f"run{processes}-{runs}", processes, arguments.experiment, arguments.more
            )
            while not run.is_done():
                tidy(run.checkpoints)  # of an earlier kill
                process = start(run, processes)
                result = strike(run, process, chance, seconds / 3) if killed < most else {}
                code = process.wait(LONGEST)
                if not result and code:
                    print((run.path / "said.txt").read_text()[-3000:])
                    return 1
                if result:
                    killed += 1
                    result = {"processes": processes, "run": runs, "kill": killed, **result}
                    rows.append(result)
                    print(result, flush=True)
            same = equal(numbers(run), wanted)
            print(f"{processes} processes, run {runs}: {'equal' if same else 'DIFFERENT'}")
            for row in rows:
                if (row["processes"], row["run"]) == (processes, runs):
                    row["equal"] = same
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        with (arguments.out / "results.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    good = sum(row["equal"] for row in rows)
    print(f"{good} of {len(rows)} kills: the run ended with the numbers of the undisturbed one")
    print(f"{sum(row['half_written'] for row in rows)} struck a half-written checkpoint")
    return 0 if good == len(rows) and not any(row["left_behind"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
