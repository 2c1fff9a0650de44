"""Numbers that cannot be meant are told by their key; nothing of a config is without bounds."""

import time

import pytest
import yaml
from walk import VALUES, WITHOUT_BOUND, bound_of, numbers_of, parts, places, with_value

from vit.check.preflight import Shared, preflight
from vit.cli.compose import compose, config_folder
from vit.cli.sweep_request import policy_of
from vit.number_bounds import RANGES
from vit.number_faults import number_faults, part_number_faults

TINY = ["backbone.dim=32", "backbone.depth=2", "backbone.heads=2", "schedule.warmup_epochs=0"]
WALKED = {
    "digits": ["experiment=digits"],
    "other parts of a classifier": [
        *("experiment=digits", "backbone/position=rope", "backbone/norm=rms_norm"),
        *("backbone/mlp=swiglu", "backbone/patch=stem", "head/pool=attention"),
        *("data/augment=augmix", "optim=adamw", "schedule=constant", "ema=standard"),
    ],
    "detection": ["experiment=digit_scenes_small"],
    "segmentation": ["experiment=digit_segments"],
    "captions": ["experiment=digit_captions"],
    "texts": ["experiment=number_words"],
}


def targets():
    """Every class that a shipped config names."""
    found = set()
    for path in config_folder().rglob("*.yaml"):
        found |= {node["_target_"] for _, node in parts(yaml.safe_load(path.read_text()))}
    return sorted(found)


@pytest.mark.parametrize("target", [each for each in targets() if each.startswith("vit.")])
def test_every_number_of_every_shipped_part_has_a_bound(target):
    without = [name for name in numbers_of(target) if not bound_of(target, name)]
    assert set(without) <= WITHOUT_BOUND, f"{target}: vit/number_bounds.py has no such words"


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_number_outside_of_its_bound_is_told_by_its_key(target, value):
    for name in numbers_of(target):
        bound = bound_of(target, name)
        told = part_number_faults({"_target_": target, name: [value]}, "part")
        if bound is not None and bound.holds(value):
            assert told == []
        elif bound is not None or value not in (-1, 0):  # for all numbers: finite, not huge
            assert [fault.where for fault in told] == [f"part.{name}"]


def test_at_whatever_depth_and_in_parts_that_are_nobodys():
    config = {"head": {"_target_": "mine.Head", "deep": [{"er": [1, float("nan")]}]}}
    assert [fault.where for fault in number_faults(config)] == ["head.deep.er"]


def test_many_wrong_numbers_are_told_together():
    words = {
        "optim.lr": "inf",
        "optim.momentum": "7",
        "data.mean": "[nan]",
        "backbone.layer_scale": "nan",
        "backbone.depth": "1000000",
        "head.bias_init": "nan",
        "watch.hang_seconds": "nan",
        "threads": "100000",
        "trainer.accumulate_grad_batches": "0",
        "trainer.gradient_clip_val": "nan",
        "task.label_smoothing": "1e300",
        "data.batch_size": "1000000000000",
        "schedule.warmup_epochs": "-1",
        "checkpoint.patience": "0",
    }
    config = compose(["experiment=digits", *(f"++{key}={text}" for key, text in words.items())])
    assert {fault.where for fault in preflight(config).faults} == words.keys()


SIZES = {"image_size", "grid"}  # height, width: no range


@pytest.mark.parametrize("target", [each for each in targets() if each.startswith("vit.")])
def test_a_range_from_high_to_low_is_told_by_its_key(target):
    """Every pair of every shipped part; a part with another pair of its own must name it."""
    for name, hint in numbers_of(target).items():
        pair = hint in (tuple[float, float], tuple[int, int]) and name not in SIZES
        assert pair == (name in RANGES), f"{target}.{name}: vit/number_bounds.py, RANGES"
        if pair:
            low, high = (1, 2) if hint == tuple[int, int] else (0.5, 1)
            (fault,) = part_number_faults({"_target_": target, name: [high, low]}, "part")
            assert fault.where == f"part.{name}" and f"[{low}, {high}]" in fault.message
            assert part_number_faults({"_target_": target, name: [low, high]}, "part") == []


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["data.std=[1e-30]"], "data.std"),
        (["watch.hang_seconds=1e-9"], "watch.hang_seconds"),
        (["data/augment=affine", "data.augment.scale=[1.1,0.9]"], "data.augment.scale"),
        (["data/augment=random_resized_crop", "data.augment.scale=[0.5,2]"], "data.augment.scale"),
        (["+trainer.min_epochs=9", "trainer.max_epochs=2"], "trainer.min_epochs"),
        (["task.mixup=0.2", "task.mix_probability=0"], "task.mix_probability"),
        (["task.cutmix=0.2", "task.mix_off_fraction=1"], "task.mix_off_fraction"),
    ],
)
def test_what_could_not_be_meant_is_one_fault(words, key):
    config = compose(["experiment=digits", "schedule.warmup_epochs=0", *words])
    assert [fault.where for fault in preflight(config).faults] == [key]


def test_a_sweep_has_numbers_too():
    from vit.cli.compose import Composed
    from vit.faults import Refused

    policy = {"_target_": "vit.sweeps.policy.Policy", "hang_minutes": float("nan"), "jobs": 10**12}
    policy |= {"sampler": {"_target_": "vit.sweeps.samplers.Grid"}}
    policy |= {"executor": {"_target_": "vit.sweeps.local.Local"}}
    with pytest.raises(Refused) as refused:
        policy_of(Composed({"allow_targets": []}, config_folder(), [], policy))
    assert {fault.where for fault in refused.value.faults} == {"sweep.hang_minutes", "sweep.jobs"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optim=adamw", "optim.betas=[0.9]"], "wants 2"),
        (["optim=schedulefree", "ema=none", "optim.betas=[0.9]"], "wants 2"),
    ],
)
def test_what_the_optimizer_itself_refuses_is_a_fault(words, said):
    faults = preflight(compose(["experiment=digits", *words])).faults
    assert [fault.where for fault in faults] == ["optim"]
    assert said in faults[0].message


@pytest.mark.slow
@pytest.mark.parametrize("words", WALKED.values(), ids=list(WALKED))
def test_every_number_of_a_config_is_refused_or_within_its_bound(words):
    """No traceback, no hang, no silence: each value ends as a fault that names its key."""
    config = compose([*words, *TINY, "trainer=cpu", "threads=1"])
    shared = Shared()
    assert preflight(config, shared=shared).faults == []
    for key, bound in places(config):
        for value in VALUES:
            began = time.process_time()
            faults = preflight(with_value(config, key, value), shared=shared).faults
            assert time.process_time() - began < 30, f"{key}={value}"
            named = any(key.split(".")[-1] in fault.where + fault.message for fault in faults)
            assert named or (not faults and bound.holds(value)), f"{key}={value}: {faults}"
