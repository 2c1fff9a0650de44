"""W&B online against a server on the loopback: what arrives there is what the run recorded."""

import json
import os

import pytest
from commands import command
from wandb_server import serving

SMALL = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=1",
    "schedule.warmup_epochs=0",
]


def vit(server, *words, code=0):
    environment = {name: None for name in os.environ if name.startswith("WANDB")}
    environment |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40}
    return command(*words, code=code, environment=environment, timeout=200)


def recorded(run_dir):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["metrics"] for line in lines]


@pytest.mark.slow
def test_a_run_arrives_with_its_config_and_its_numbers(tmp_path):
    run_dir = tmp_path / "run"
    with serving() as server:
        vit(server, "train", *SMALL, "tracking.mode=online", f"hydra.run.dir={run_dir}")
    first = server.runs[0]
    assert json.loads(first["config"])["seed"]["value"] == 0
    assert json.loads(first["config"])["config_without_seed"]["value"] == first["groupName"]
    (rows,) = server.history.values()
    sent = {r["trainer/global_step"]: r["val/accuracy"] for r in rows if "val/accuracy" in r}
    (accuracy,) = {m["val/accuracy"] for m in recorded(run_dir) if "val/accuracy" in m}
    assert sent == {18: accuracy}
    assert list(server.exit_codes.values()) == [0]


@pytest.mark.slow
def test_a_crash_ends_as_failed_on_the_server(tmp_path):
    with serving() as server:
        words = ["optim.lr=9999", "trainer.gradient_clip_val=null", "tracking.mode=online"]
        vit(server, "train", *SMALL, *words, f"hydra.run.dir={tmp_path}/run", code=1)
    assert list(server.exit_codes.values()) == [1]


def test_offline_runs_are_uploaded_once_and_fragments_join(tmp_path):
    run_dir = tmp_path / "run"
    with serving() as server:
        vit(server, "train", *SMALL, f"hydra.run.dir={run_dir}")
        assert server.runs == []  # offline unless asked
        said = vit(server, "sync", str(tmp_path)).stdout
        assert "1 run" in said
        assert len(server.history) == 1
        count = len(server.runs)
        assert "nothing to upload" in vit(server, "sync", str(tmp_path)).stdout
        assert len(server.runs) == count
