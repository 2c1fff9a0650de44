import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vit.check.memory import optimizer_state, training_memory
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.facts import facts_from_summary

MEASURE = Path(__file__).parent / "measured_memory.py"
TI = ["backbone.dim=192", "backbone.depth=12", "backbone.heads=3", "backbone.patch_size=16"]
S = ["backbone.dim=384", "backbone.depth=12", "backbone.heads=6", "backbone.patch_size=16"]
B = ["backbone.dim=768", "backbone.depth=6", "backbone.heads=12", "backbone.patch_size=32"]
SMALL = ["backbone.dim=64", "backbone.depth=6", "backbone.heads=4", "backbone.patch_size=4"]
OTHER = ["backbone/mlp=swiglu", "backbone/position=rope", "backbone/norm=rms_norm"]


def planned(words, size=32, batch=16, classes=10, processes=1):
    words = ["experiment=digits", "optim=adamw", "ema=none", "threads=1", *words]
    summary = {"image_size": [size, size], "channels": 3, "num_classes": classes}
    return compose(words), facts_from_summary(summary), batch, processes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "size", "batch"),
    [
        (TI, 224, 16),
        (S, 224, 8),
        (B, 224, 16),
        (SMALL, 32, 256),
        ([*TI, *OTHER], 160, 32),
        ([*SMALL, "head/pool=attention", "optim=sgd"], 64, 64),
        ([*S, "tuning=lora"], 224, 8),
        ([*S, "tuning=head"], 224, 8),
        ([*TI, "tuning=last_blocks", "tuning.blocks=3"], 224, 16),
    ],
    ids=["ti", "s", "b", "small", "variants", "sgd", "lora", "head", "last_blocks"],
)
def test_the_estimate_is_within_15_percent_of_what_the_system_measures(words, size, batch):
    config, facts, *_ = planned(words, size, batch, classes=100)
    # Freed memory goes back at once, so that the peak is what was in use, not what was wasted.
    frugal = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    process = subprocess.run(
        [sys.executable, str(MEASURE), json.dumps([config, facts.summary(), batch])],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **frugal},
    )
    measured, expected = int(process.stdout), training_memory(config, facts, batch).total
    print(f"{expected / 1e6:.0f} MB expected, {measured / 1e6:.0f} MB measured")
    assert expected == pytest.approx(measured, rel=0.15)


def test_the_parts_add_up():
    alone = training_memory(*planned(SMALL))
    plain = alone.to_plain()
    assert sum(plain.values()) == 2 * plain["total"]
    assert alone.gradients == alone.parameters
    assert alone.optimizer == 2 * alone.parameters
    assert alone.average == alone.communication == 0
    several = training_memory(*planned([*SMALL, "ema=standard"], processes=2))
    assert several.average == several.communication == alone.parameters


def test_activations_grow_with_the_batch_and_shrink_with_half_precision():
    few = training_memory(*planned(SMALL, batch=16)).activations
    many = training_memory(*planned(SMALL, batch=64)).activations
    # Not quite four times: at the peak not all gradients are there, which are subtracted.
    assert 3.5 * few < many < 4.3 * few
    half = training_memory(*planned([*SMALL, "trainer.precision=bf16-mixed"], batch=64))
    assert half.activations < 0.8 * many


@pytest.mark.parametrize(
    ("name", "moments"), [("sgd", 1), ("lion", 1), ("adamw", 2), ("schedulefree", 2)]
)
def test_the_optimizers_state_is_counted_as_it_really_is(name, moments):
    config, *_ = planned([*SMALL, f"optim={name}"])
    model = torch.nn.Sequential(torch.nn.Linear(30, 50), torch.nn.Linear(50, 7))
    bytes_of = sum(p.nbytes for p in model.parameters())
    assert optimizer_state(model, config) == pytest.approx(moments * bytes_of, rel=0.01)


@pytest.mark.slow
def test_the_check_knows_the_memory_and_takes_little_time_for_a_large_model():
    config = compose(["experiment=digits", "backbone.dim=1024", "backbone.depth=24", "threads=1"])
    report = preflight(config)
    assert report.sound.memory.parameters == 4 * report.sound.cost.parameters
    assert report.sound.memory.total > 12 * report.sound.cost.parameters


def test_shards_divide_what_is_kept_and_cost_what_is_gathered():
    whole = training_memory(*planned(SMALL, processes=8))
    words = ["trainer=fsdp", "trainer.devices=8", *SMALL]
    sharded = training_memory(*planned(words, processes=8))
    for part in ("parameters", "gradients", "optimizer"):
        assert getattr(sharded, part) == pytest.approx(
            getattr(whole, part) / 8, rel=0.01
        )  # shards are filled up
    assert 0 < sharded.communication < 2 * whole.parameters
    assert sharded.total < whole.total


def test_averaged_weights_are_refused_where_weights_are_sharded():
    words = ["experiment=digits", "threads=1", "trainer=fsdp", "ema=standard"]
    (fault,) = preflight(compose(words)).faults
    assert fault.where == "ema" and "ema=none" in fault.message
