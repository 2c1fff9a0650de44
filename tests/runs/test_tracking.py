import subprocess
import sys

CONFIG = {"name": "small", "seed": 0, "lr": 0.1}
CODE = """
import sys
from pathlib import Path
from vit.runs.tracking import Wandb
tracking = Wandb(mode="offline")
logger = tracking.logger(Path(sys.argv[1]), {config})
logger.log_metrics({{"val/accuracy": 0.5}}, 7)
tracking.finish(int(sys.argv[2]))
"""


def tracked(run_dir, home, code):
    """One offline W&B run in a process of its own, since wandb keeps one run a process."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(config=CONFIG), str(run_dir), str(code)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout + done.stderr


def test_everything_that_wandb_writes_lies_in_the_run_and_it_is_quiet(tmp_path):
    home, run_dir = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    run_dir.mkdir()
    said = tracked(run_dir, home, 0)
    assert said == ""
    assert list(home.iterdir()) == []
    (kept,) = run_dir.glob("wandb/offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 0


def test_a_failed_run_ends_as_failed_and_keeps_its_id_when_it_goes_on(tmp_path):
    home, run_dir = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    run_dir.mkdir()
    tracked(run_dir, home, 1)
    tracked(run_dir, home, 0)
    parts = sorted(run_dir.glob("wandb/offline-run-*/run-*.wandb"))
    assert len({part.name for part in parts}) == 1
    inspected = [
        subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(part)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for part in parts
    ]
    assert '"state":"failed"' in inspected[0].replace(" ", "").replace("crashed", "failed")
