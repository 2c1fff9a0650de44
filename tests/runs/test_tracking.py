import subprocess
import sys

import pytest

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.runs.tracking import Wandb

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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        *[({"project": f"a{letter}b"}, "tracking.project") for letter in "/\\#?%:"],
        ({"project": "x" * 129}, "tracking.project"),
        ({"project": ""}, "tracking.project"),
        ({"entity": "me/vit"}, "tracking.entity"),
        ({"entity": ""}, "tracking.entity"),
        ({"tags": ["good", ""]}, "tracking.tags"),
        ({"tags": ["x" * 65]}, "tracking.tags"),
    ],
)
def test_what_wandb_would_refuse_once_the_training_begins_is_told_before(settings, told):
    with pytest.raises(ValueError, match=told):
        Wandb(**settings)
    Wandb(mode="disabled", **settings)


@pytest.mark.parametrize("length", [0, 1, 64, 65, 128, 129])
@pytest.mark.parametrize("letter", ["x", "/", "%", " "])
def test_projects_and_tags_are_those_that_wandb_itself_takes(length, letter):
    import wandb

    def takes(make):
        try:
            make()
        except (ValueError, wandb.errors.UsageError):
            return False
        return True

    text = "x" * (length // 2) + letter * (length - length // 2)
    ours = takes(lambda: Wandb(project=text))
    assert ours == (takes(lambda: wandb.Settings(project=text)) and bool(text.strip()))
    assert takes(lambda: Wandb(tags=[text])) == takes(lambda: wandb.Settings(run_tags=[text]))


def test_the_check_tells_it():
    words = ["experiment=digits", "tracking.mode=offline", "tracking.project=a/b"]
    words.append("schedule.warmup_epochs=0")
    (fault,) = preflight(compose(words)).faults
    assert fault.where == "tracking" and "tracking.project='a/b'" in fault.message
