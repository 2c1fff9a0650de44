"""The chaos proof: a sweep that is struck ends with the numbers of one at peace.

    python tests/sweeps/chaos.py --trials 50 --driver-kills 5

Every attempt of a trial has a chance of 30 % to be killed, raise or exit at a random step, and the
driver is killed at random moments; the same command is given again until it ends well.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
COMMON = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=2",
    "checkpoint.every_n_steps=5",
    "tracking=none",
    "threads=1",
    "ema=standard",
    "sweep.retries=2",
    "sweep.max_failures=null",
    "allow_targets=[fragile]",
    "schedule=constant",
    "schedule.warmup_epochs=0",
    "schedule._target_=fragile.Fragile",
]


def command(folder: Path, trials: int, share: float, jobs: int) -> list[str]:
    words = ["train", "-m", *COMMON, f"seed=range({trials})", f"sweep.jobs={jobs}"]
    words += [f"+schedule.share={share}", f"hydra.sweep.dir={folder}"]
    return [sys.executable, "-m", "vit", *words]


def start(words: list[str], said: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with said.open("ab") as file:
        return subprocess.Popen(words, stdout=file, stderr=file, env=environment)


def wait_for_a_trial(folder: Path, driver: subprocess.Popen) -> None:
    """Until this driver has a training at work, or ends."""
    began = time.time()
    while driver.poll() is None:
        if any(file.stat().st_mtime > began for file in folder.glob("*/.heartbeat")):
            return
        time.sleep(0.05)


def numbers(folder: Path) -> dict[int, dict]:
    """Seed → everything about it that is no clock."""
    found = {}
    for file in folder.glob("*/metrics.json"):
        results = json.loads(file.read_text())
        results.pop("timing")
        results.pop("name")
        records: dict[int, dict] = {}
        for line in (file.parent / "metrics.jsonl").read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # cut off by a kill
            records.setdefault(record["step"], {}).update(record["metrics"])
        found[results["seed"]] = {"results": results, "records": records}
    return found


def finishes(folder: Path) -> dict[str, int]:
    """Trial → how often its log says that it was finished."""
    return {
        file.parent.name: file.read_text().count("INFO vit: done in")
        for file in folder.glob("*/log.txt")
    }


def chaos(home: Path, trials: int, jobs: int, driver_kills: int, seconds: tuple[float, float]):
    """Returns what happened, for a report; raises AssertionError where the proof fails."""
    said = home / "said.txt"
    peaceful = start(command(home / "peace", trials, 0.0, jobs), said)
    began = time.monotonic()
    assert peaceful.wait() == 0, said.read_text()[-3000:]
    peace_seconds = time.monotonic() - began
    began = time.monotonic()
    kills = starts = 0
    while True:
        starts += 1
        assert starts < 40 + driver_kills, said.read_text()[-3000:]
        driver = start(command(home / "chaos", trials, 0.3, jobs), said)
        if kills < driver_kills:
            try:
                wait_for_a_trial(home / "chaos", driver)
                driver.wait(random.SystemRandom().uniform(*seconds))
            except subprocess.TimeoutExpired:
                driver.send_signal(signal.SIGKILL)
                kills += 1
        if driver.wait() == 0:
            break
    peace, struck = numbers(home / "peace"), numbers(home / "chaos")
    assert sorted(struck) == list(range(trials)), "a trial was lost"
    counted = finishes(home / "chaos")
    assert set(counted.values()) == {1}, f"finished other than once: {counted}"
    differing = [seed for seed in peace if peace[seed] != struck[seed]]
    assert not differing, f"seeds with other numbers: {differing}"
    attempts = [
        attempt
        for file in (home / "chaos").glob("*/trial.json")
        for attempt in json.loads(file.read_text())["attempts"]
    ]
    ends: dict[str, int] = {}
    for attempt in attempts:
        kind = attempt.get("kind") or attempt.get("state") or "cut off with its driver"
        ends[kind] = ends.get(kind, 0) + 1
    return {
        "trials": trials,
        "attempts": len(attempts),
        "ends": ends,
        "driver_kills": kills,
        "driver_starts": starts,
        "peace_seconds": round(peace_seconds, 1),
        "chaos_seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--driver-kills", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = chaos(Path(folder), chosen.trials, chosen.jobs, chosen.driver_kills, (0.0, 8.0))
    print(json.dumps(result, indent=1))
