"""A slot takes only its own kind, wherever a config comes from."""

import functools
import importlib
import inspect
import pkgutil
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from vit.build import ALLOWED, TargetError, build, build_slot, factory_for, locate
from vit.cli.compose import compose, config_folder
from vit.schema import schema_faults, slot_faults
from vit.slots import SLOTS, Takes, fits, inside, slots_of

WORKING = ("vit.sweeps.", "vit.runs.")  # what does something, and describes little
RUN_TRIAL = "vit.sweeps.trial.run_trial"
# The folders of conf/ that hold parts, and what they are passed to.
GROUPS = {
    **{slot: SLOTS[slot] for slot in SLOTS if slot not in ("sweep",)},
    "data/augment": ("vit.data.kinds.classification.ClassificationData", "augment"),
    "data/augment/frame": ("vit.data.augment.RandAugment", "frame"),
    "data/augment_boxes": ("vit.data.kinds.detection.DetectionData", "augment_boxes"),
    "data/augment_boxes/frame": ("vit.data.augment_boxes.Photometric", "frame"),
    "data/augment_maps": ("vit.data.kinds.segmentation.SegmentationData", "augment_maps"),
    "sweep/executor": ("vit.sweeps.policy.Policy", "executor"),
    "head/pool": ("vit.models.classifier.Head", "pool"),
    "head/neck": ("vit.models.heads.deformable.DeformableHead", "neck"),
    "head/denoising": ("vit.models.heads.deformable.DeformableHead", "denoising"),
    **{
        f"backbone/{part}": ("vit.models.backbone.ViT", part)
        for part in ("attention", "mlp", "norm", "patch", "position")
    },
}


def parts():
    """Every public function and class of ours in the packages that parts may come from."""
    for prefix in ALLOWED:
        if not prefix.startswith("vit."):
            continue
        home = importlib.import_module(prefix.rstrip("."))
        below = pkgutil.walk_packages(getattr(home, "__path__", ()), home.__name__ + ".")
        for module in [home, *(importlib.import_module(found.name) for found in below)]:
            for name, found in vars(module).items():
                own = getattr(found, "__module__", None) == module.__name__
                if own and not name.startswith("_") and callable(found):
                    yield f"{module.__name__}.{name}", found


@functools.cache
def slots():
    """What every parameter takes that a part can be passed to, from the top slots downwards."""
    seen: set[Any] = set()
    told: dict[str, tuple[str, Any]] = {}
    found: list[tuple[str, Any]] = list(SLOTS.items())
    classes = [part for _, part in parts() if inspect.isclass(part)]
    while found:
        name, wanted = found.pop()
        if repr(wanted) in told:
            continue
        told[repr(wanted)] = name, wanted
        for part in classes:
            if part not in seen and (
                fits(part, False, wanted, False) or fits(part, True, wanted, False)
            ):
                seen.add(part)
                for key, hint in slots_of(part).items():
                    found += [(f"{part.__name__}.{key}", each) for each in (hint, inside(hint))]
    return list(told.values())


def test_no_function_of_ours_can_be_called_from_a_slot():
    functions = [(name, part) for name, part in parts() if not inspect.isclass(part)]
    everywhere = list(slots())
    assert len(functions) > 150 and len(everywhere) > 40
    for name, function in functions:
        for slot, wanted in everywhere:
            for waits in (False, True):
                assert not fits(function, waits, wanted, False), f"{name} at {slot}"


def test_classes_of_sweeps_and_runs_stand_only_where_a_sweep_or_a_tracker_is_described():
    there = {}
    for name, part in parts():
        protocol = getattr(part, "_is_protocol", False)
        if inspect.isclass(part) and not protocol and name.startswith(WORKING):
            fitting = [s for s, wanted in slots() if fits(part, False, wanted, False)]
            if fitting:
                there[part.__name__] = set(fitting)
    assert there == {
        "Policy": {"sweep"},
        "Grid": {"Policy.sampler"},
        "Search": {"Policy.sampler"},
        "SuccessiveHalving": {"Search.pruner"},
        "Local": {"Policy.executor"},
        "Slurm": {"Policy.executor"},
        "Ray": {"Policy.executor"},
        "Untracked": {"tracking"},
        "Wandb": {"tracking"},
    }


def test_what_is_shipped_stands_where_its_folder_says():
    checked = 0
    for folder, takes in GROUPS.items():
        for file in sorted((config_folder() / folder).glob("*.yaml")):
            node = yaml.safe_load(file.read_text())
            if not isinstance(node, dict) or "_target_" not in node:
                continue
            wanted = takes
            if isinstance(takes, tuple):
                wanted = slots_of(locate(takes[0]))[takes[1]]
            factory_for(node, (), wanted, folder)
            checked += 1
    assert checked > 70
    for file in sorted((config_folder() / "sweep").glob("*.yaml")):
        sampler = (yaml.safe_load(file.read_text()) or {}).get("sampler")
        if sampler:
            build(sampler, (), slots_of(locate("vit.sweeps.policy.Policy"))["sampler"])


@pytest.fixture
def marked(monkeypatch):
    """The names of what a stranger's config got to run."""
    ran = []

    def run_trial(path=None, orders=None, **more):
        ran.append("run_trial")

    run_trial.__module__, run_trial.__qualname__ = "vit.sweeps.trial", "run_trial"
    monkeypatch.setattr("vit.sweeps.trial.run_trial", run_trial)
    return ran


EVIL = {"_target_": RUN_TRIAL, "path": "x", "orders": None}
AUGMENTED = {"_target_": "vit.data.digits.Digits"}
NORM = {"_target_": "torch.nn.LayerNorm", "_partial_": True}


@pytest.mark.parametrize(
    "slot, node",
    [
        ("data", EVIL),
        ("data", {**AUGMENTED, "augment": EVIL}),
        ("data", {**AUGMENTED, "augment": [EVIL]}),
        ("data", {**AUGMENTED, "augment": {"deep": [{"er": EVIL}]}}),
        ("data", {**AUGMENTED, "augment": {"_target_": "torch.nn.Identity", "more": EVIL}}),
        ("data", {**AUGMENTED, "val_fraction": EVIL}),
        ("data", {**AUGMENTED, "augment": {"_target_": "functools.partial", "func": EVIL}}),
        ("data", {**AUGMENTED, "_args_": [EVIL]}),
        ("data", {"_target_": "vit.data.folder.Folder", "root": EVIL}),
        ("backbone", {"_target_": "vit.models.backbone.ViT", "norm": {**EVIL, "_partial_": True}}),
        ("backbone", {"_target_": "vit.models.backbone.ViT", "norm": EVIL}),
        ("backbone", {"_target_": "torch.nn.ModuleList", "modules": [EVIL]}),
        ("head", {"_target_": "torchvision.ops.MLP", "norm_layer": {**EVIL, "_partial_": True}}),
        ("head", {"_target_": "torch.nn.Linear", "device": EVIL}),
        ("optim", EVIL),
        ("schedule", {**EVIL, "_convert_": "all", "_recursive_": True}),
        ("ema", EVIL),
        ("tracking", EVIL),
        ("watch", {"_target_": "vit.callbacks.watch.Watch", "pictures": EVIL}),
        ("trainer", {"_target_": "pytorch_lightning.Trainer", "max_time": {"days": EVIL}}),
        ("trainer", {"_target_": "pytorch_lightning.Trainer", "strategy": EVIL}),
        ("sweep", {"_target_": "vit.sweeps.policy.Policy", "sampler": EVIL, "params": {"a": EVIL}}),
    ],
)
def test_a_function_runs_from_no_slot(marked, slot, node):
    faults = slot_faults(slot, node, [])
    told = " ".join(fault.message for fault in faults)
    assert any(word in told for word in ("run_trial", "functools.partial", "Identity"))
    given = {"dim": 4, "num_classes": 2} if slot == "head" else {}
    with pytest.raises((ValueError, TypeError)):
        build_slot(slot, {slot: node}, (), **given)
    assert marked == []


@pytest.mark.parametrize(
    "slot, target",
    [
        ("data", "vit.callbacks.ema.Ema"),
        (
            "backbone",
            "torchmetrics.text.BERTScore",
        ),  # a module that fetches weights when it is made
        ("head", "torchmetrics.classification.MulticlassAccuracy"),
        ("ema", "pytorch_lightning.callbacks.ModelCheckpoint"),  # writes where it is told
        ("optim", "torch.optim.AdamW"),
        ("schedule", "vit.optim.optimizer.Optim"),
        ("tracking", "vit.sweeps.local.Local"),
        ("trainer", "pytorch_lightning.strategies.DDPStrategy"),
        ("watch", "vit.callbacks.pictures.Pictures"),
        ("task", "vit.models.backbone.ViT"),
        ("sweep", "vit.sweeps.driver.Driver"),
    ],
)
def test_a_class_of_another_kind_is_told_what_the_slot_takes(slot, target):
    (fault, *_) = slot_faults(slot, {"_target_": target}, [])
    assert fault.where == f"{slot}._target_"
    assert f"{slot} takes " in fault.message


def test_the_fault_says_what_came_what_is_wanted_and_what_fits():
    node = {"_target_": "vit.data.digits.Digits", "augment": {"_target_": RUN_TRIAL}}
    (fault,) = slot_faults("data", node, [])
    assert fault.where == "data.augment._target_"
    for part in (f"function {RUN_TRIAL}", "takes Augmentation", "vit.data.augment.Affine"):
        assert part in fault.message


def test_waiting_parts_and_made_ones_are_not_confused():
    wanted = slots_of(locate("vit.models.backbone.ViT"))["norm"]
    waiting = build({"_target_": "vit.layers.norm.RMSNorm", "_partial_": True}, (), wanted)
    assert isinstance(waiting, functools.partial)
    with pytest.raises(TargetError, match="`_partial_: true`"):
        build({"_target_": "vit.layers.norm.RMSNorm", "dim": 4}, (), wanted, "backbone.norm")
    with pytest.raises(TargetError, match="waits to be called"):
        build_slot("data", {"data": {"_target_": "vit.data.digits.Digits", "_partial_": True}})
    activation = {"_target_": "torch.nn.functional.gelu", "_partial_": True}
    layer = {"_target_": "torch.nn.TransformerEncoderLayer", "d_model": 4, "nhead": 1}
    assert isinstance(build({**layer, "activation": activation}), nn.Module)


OWN = """
from dataclasses import dataclass
from torch import nn
from pytorch_lightning import Callback
from vit.data.augment import Augmentation
from vit.data.digits import Digits

class Body(nn.Module):
    def __init__(self, image_size, channels, part=None, names=()):
        super().__init__()

class Falling:
    def scale(self, step, total_steps, steps_per_epoch):
        return 1.0

class Mirrored(Augmentation):
    def change(self, prepare):
        return prepare.fitted

@dataclass(kw_only=True, eq=False)
class MyDigits(Digits):
    ...

class MyEma(Callback):
    ...

class Anything:
    ...

def body(image_size, channels):
    return Body(image_size, channels)

def wipe(image_size, channels):
    return 3

def told(image_size, channels) -> str:
    return "x"
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "slotparts.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return ["slotparts"]


def test_classes_of_ones_own_stand_where_their_kind_does(mine):
    size = {"image_size": (8, 8), "channels": 1}
    for name in ("Body", "body"):
        node = {"_target_": f"slotparts.{name}"}
        assert isinstance(build_slot("backbone", {"backbone": node}, mine, **size), nn.Module)
    part = {"_target_": "slotparts.Anything"}  # of a parameter that does not say what it takes
    body = {"_target_": "slotparts.Body", "part": part, "names": [part]}
    build_slot("backbone", {"backbone": body}, mine, **size)
    for slot, name in (("schedule", "Falling"), ("data", "MyDigits"), ("ema", "MyEma")):
        build_slot(slot, {slot: {"_target_": f"slotparts.{name}"}}, mine)
    augmented = {**AUGMENTED, "augment": {"_target_": "slotparts.Mirrored"}}
    assert slot_faults("data", augmented, mine) == []
    for slot, name in (("data", "Body"), ("ema", "Anything"), ("backbone", "told")):
        with pytest.raises(TargetError, match=f"{slot} takes"):
            build_slot(slot, {slot: {"_target_": f"slotparts.{name}"}}, mine)
    with pytest.raises(TargetError, match=r"made .*backbone takes"):
        build_slot("backbone", {"backbone": {"_target_": "slotparts.wipe"}}, mine, **size)
    with pytest.raises(TargetError, match="outside the packages"):
        build_slot("backbone", {"backbone": {"_target_": "slotparts.Body"}}, (), **size)


@pytest.mark.slow
def test_every_option_of_every_group_still_passes_the_schema():
    shipped = config_folder()
    for folder in sorted(path for path in shipped.rglob("*") if path.is_dir()):
        group = folder.relative_to(shipped).as_posix()
        for option in sorted(path.stem for path in folder.glob("*.yaml")):
            try:
                config = compose([f"{group}={option}"])
            except Exception:  # an option of another option's: it needs its own
                continue
            told = [fault for fault in schema_faults(config) if " takes " in fault.message]
            assert told == [], f"{group}={option}"


def test_the_names_of_kinds_are_those_of_classes():
    for takes in SLOTS.values():
        assert all(inspect.isclass(kind) for kind in takes.kinds(own=True))
    assert Takes(("torch.Tensor",)).kinds(own=False) == (torch.Tensor,)
