"""Own parts: the few members that are needed suffice, and a wrong one is one fault of the check."""

import importlib
import re
import sys
import warnings
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import vit
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.jobs.training import train
from vit.runs.directory import RunFolder

SMALL = ["data=digits", "data.image_size=32", "tracking=none", "trainer=cpu", "threads=1"]
SMALL += ["schedule.warmup_epochs=0", "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
SMALL += ["backbone.patch_size=8", "trainer.max_steps=2", "trainer.limit_val_batches=1"]
SMALL += ["trainer.limit_test_batches=1"]


@pytest.fixture(scope="module", autouse=True)
def own_parts():
    sys.path.insert(0, str(Path(__file__).parent))
    checked = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)  # as outside of tests
    yield importlib.import_module("own_parts")
    jaxtyping.config.update("jaxtyping_disable", checked)
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def config():
    return compose(SMALL)


def with_own(config, **parts: str):
    own = {key: {"_target_": f"own_parts.{name}"} for key, name in parts.items()}
    return {**config, **own, "allow_targets": ["own_parts"]}


def test_an_own_backbone_needs_width_patch_and_forward_alone(config, tmp_path):
    everything = with_own(config, backbone="Net", head="Head", optim="Optim", schedule="Schedule")
    report = preflight(everything)
    assert report.faults == [] and report.sound.cost.tokens == 16
    # 2 · 16 patches · (64 · 16 + 16 · 16) of the backbone, 2 · 16 · 10 of the head
    assert report.sound.cost.gflops_per_image * 1e9 == 2 * 16 * (64 * 16 + 16 * 16) + 2 * 16 * 10
    folder = RunFolder(tmp_path / "run")
    folder.freeze(everything)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert train(folder.path, ["own_parts"]) == 0
    trained = vit.load(folder.path, allow_targets=["own_parts"])
    assert len(trained.predict([np.zeros((32, 32), np.uint8)])[0]["classes"]) == 10


def test_depth_and_decay_of_its_parts_have_defaults(config, own_parts):
    from vit.models.contract import complete

    net = complete(own_parts.Net((32, 32), 1), {"image_size": (32, 32), "channels": 1})
    assert net.depths() == {"stem.weight": 0, "stem.bias": 0, "body.weight": 1, "body.bias": 1}
    assert net.depth == 2 and net.no_weight_decay() == {"stem.bias", "body.bias"}
    assert net.grid(32, 16) == (4, 2) and net.num_prefix == 0 and net.shards() == []
    with pytest.raises(ValueError, match="asked Net for `embed`"):
        net.embed(None)


@pytest.mark.parametrize(
    ("head", "fits"),
    [
        ("linear", True),
        pytest.param("semantic", True, marks=pytest.mark.slow),
        pytest.param("detr", True, marks=pytest.mark.slow),
        pytest.param("tokens", False, marks=pytest.mark.slow),
    ],
)
def test_shipped_heads_take_it_or_say_which_stage_they_need(head, fits):
    words = {"linear": ["data=digits"], "semantic": ["task=segmentation", "head=semantic"]}
    words["semantic"] += ["data=digit_scenes_semantic"]
    found = ["task=detection", f"head={head}", "data=digit_scenes", "checkpoint.monitor=val/ap"]
    scenes = ["data.train_scenes=8", "data.val_scenes=2", "data.test_scenes=2", "data.batch_size=4"]
    scenes += ["data.digit_size=[8,16]"]
    chosen = words.get(head, found)
    if head == "semantic":
        chosen = [*chosen, "checkpoint.monitor=val/miou"]
    config = compose([*SMALL, *chosen, *(scenes if head != "linear" else [])])
    report = preflight(with_own(config, backbone="Net"))
    messages = [fault.message for fault in report.faults]
    assert messages == [] if fits else "which it does not have" in messages[0]


WRONG = [
    ("backbone", "NoDim", r"NoDim lacks.*`dim` \(the width.*`patch_size` \(the side"),
    ("backbone", "WrongKinds", "`dim`.*not '16'.*`num_prefix`.*not -1.*`flops`, a method, not 5"),
    ("backbone", "NoModule", r"is the class own_parts\.NoModule; backbone takes Module"),
    ("backbone", "NoForward", r"NoForward lacks.*`forward\(images\)`"),
    ("backbone", "GivesATensor", r"gives a Tensor \[2, 16, 16\]; wanted vit.structures.Features"),
    ("backbone", "GivesNothing", "gives a NoneType; wanted"),
    ("backbone", "WrongWidth", r"patches is \[2, 16, 32\]; wanted \[2, 16, 16\]"),
    ("backbone", "WrongGrid", r"grid is \(2, 8\); with `patch_size` it is \(4, 4\)"),
    ("backbone", "NoGrid", r"grid is 16; wanted vit.structures.Grid"),
    ("backbone", "HiddenPrefix", r"prefix is \[2, 1, 16\]; wanted \[2, 0, 16\] \(`num_prefix`"),
    ("backbone", "WholeNumbers", "patches is of torch.int64; wanted floats"),
    ("backbone", "Raises", r"AttributeError in own_parts.py, line \d+: .*nothing_of_this_name"),
    ("backbone", "Indexes", r"IndexError in own_parts.py, line \d+"),
    ("backbone", "WrongDepths", r"`depths\(\)` must give a whole number for each"),
    ("backbone", "WrongUndecayed", r"`no_weight_decay\(\)` must give a set"),
    ("backbone", "FlopsRaise", r"AttributeError in own_parts.py, line \d+.*counts"),
    ("backbone", "NoImages", "is not made for images"),
    ("head", "HeadOfOneClass", r"gives \(2, 1\) for 2 images; wanted \(2, 10\)"),
    ("head", "HeadRaises", r"AttributeError in own_parts.py, line \d+.*tokens"),
    ("head", "HeadTakesNothing", "is no head that task=classification can build"),
    ("head", "HeadNoModule", r"is the class own_parts\.HeadNoModule; head takes Module"),
    (
        "optim",
        "OptimBuildsNothing",
        r"is the class own_parts\.OptimBuildsNothing; optim takes Optim or OptimizerPart",
    ),
    ("optim", "OptimGivesNone", "gives a NoneType; wanted a torch.optim.Optimizer"),
    ("optim", "OptimForgets", r"leaves out \d+ parameters that learn: backbone"),
    ("optim", "OptimRaises", r"AttributeError in own_parts.py, line \d+"),
    ("schedule", "ScheduleNone", "gives None; wanted a number from 0 on"),
    ("schedule", "ScheduleNan", "gives nan; wanted a number from 0 on"),
    ("schedule", "ScheduleRaises", r"ZeroDivisionError in own_parts.py, line \d+"),
    (
        "schedule",
        "ScheduleWithout",
        r"is the class own_parts\.ScheduleWithout; schedule takes Schedule or SchedulePart",
    ),
    ("task", "TaskOfNoKind", r"is the class own_parts\.TaskOfNoKind; task takes Task\."),
    ("task", "nothing", "has no 'nothing'"),
]


@pytest.mark.parametrize(("slot", "name", "message"), WRONG)
def test_a_wrong_own_part_is_one_fault(config, slot, name, message):
    faults = preflight(with_own(config, **{slot: name})).faults
    assert len(faults) == 1, faults
    assert re.search(message, faults[0].message), faults
    assert faults[0].where.split(".")[0] in (slot, "backbone", "head")
