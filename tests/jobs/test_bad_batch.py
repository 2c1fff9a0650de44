"""The batch that broke a run is named and kept, whichever process saw it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_two_stop import assert_nothing_is_left

from vit.cli.compose import compose
from vit.data.core.sampling import EpochSampler
from vit.data.digits import Digits
from vit.jobs.bad_batch import BadBatches
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_data

HERE = Path(__file__).parent


def test_a_kept_batch_is_the_one_that_was_trained_on(tmp_path):
    data = Digits(seed=3, batch_size=32, erasing=0.5)
    loader = data.loader("train")
    loader.batch_sampler.start(epoch=2, start_batch=5)
    batch = next(iter(loader))
    said = BadBatches(data, tmp_path / "bad.pt")(41, 2, batch.index.tolist())
    assert (
        str(tmp_path / "bad.pt") in said and data.sample_name("train", int(batch.index[0])) in said
    )
    kept = torch.load(tmp_path / "bad.pt", weights_only=True)
    assert (kept["step"], kept["epoch"], len(kept["names"])) == (41, 2, 32)
    assert torch.equal(kept["images"], batch.images)
    assert torch.equal(kept["targets"], batch.targets)
    assert torch.equal(kept["index"], batch.index)


def test_a_batch_that_cannot_be_kept_is_named_all_the_same(tmp_path, caplog):
    data = Digits(seed=3, batch_size=32)
    said = BadBatches(data, tmp_path / "no folder" / "bad.pt")(0, 0, [1, 2])
    assert data.sample_name("train", 1) in said and "kept in" not in said
    assert "could not be kept" in caplog.text


def poisoned_config(photos: Path) -> tuple[dict, int]:
    """A run of two processes whose second one meets the white image in the first epoch."""
    draw = np.random.default_rng(0)
    for number in range(48):
        values = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        if number == 20:
            values[:] = 255
        file = photos / "ab"[number % 2] / f"{'white' if number == 20 else number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(file)
    for seed in range(50):
        words = [
            "data=folder",
            f"data.root={photos}",
            "data.num_workers=0",
            "data.batch_size=8",
            "backbone.dim=16",
            "backbone.depth=1",
            "backbone.heads=2",
            "backbone.patch_size=4",
            "backbone.patch._target_=poisoned.Poisoned",
            "allow_targets=[poisoned]",
            "schedule.warmup_epochs=0",
            "trainer=ddp",
            "trainer.accelerator=cpu",
            "trainer.max_epochs=2",
            "tracking=none",
            "threads=1",
            f"seed={seed}",
        ]
        config = compose(words)
        data = assemble_data(config)
        count = data.lengths["train"]
        names = [data.sample_name("train", sample) for sample in range(count)]
        white = next((n for n, name in enumerate(names) if "white" in name), None)
        assert white is not None, "the white image went to val: draw another"
        seen = EpochSampler(count, 8, seed, rank=1, world_size=2)
        steps = [step for step, keys in enumerate(seen) if white in [key.sample for key in keys]]
        if steps:
            return config, steps[0]
    raise AssertionError("no seed gives the white image to the second process")


@pytest.mark.slow
def test_what_only_the_second_process_saw_stops_both_and_is_kept(tmp_path):
    config, step = poisoned_config(tmp_path / "photos")
    folder = RunFolder(tmp_path / "run")
    folder.freeze(config)
    run = ["-m", "vit", "run", str(folder.path), "--allow-target", "poisoned"]
    words = [sys.executable, "-m", "vit.runs.agent", "--standalone", "--nproc-per-node=2", *run]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stdout + done.stderr
    state = folder.state()
    assert (state.name, state.kind) == ("failed", "diverged")
    assert f"at step {step} (epoch 0), on rank 1," in state.error
    assert "white.png" in state.error or "…" in state.error
    kept = torch.load(folder.bad_batch_file, weights_only=True)
    assert str(folder.bad_batch_file) in state.error
    assert kept["step"] == step and len(kept["index"]) == 4
    (row,) = [n for n, name in enumerate(kept["names"]) if "white" in name]
    assert kept["images"][row].amax((1, 2)).tolist() == kept["images"][row].amin((1, 2)).tolist()
    assert_nothing_is_left(folder)
