"""A task is a spec and a module: one of one's own needs these alone, and gets its settings."""

import importlib
import inspect
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from pages import module_of

import vit
from vit.build import locate
from vit.check.memory import training_memory
from vit.check.preflight import preflight, preflight_all
from vit.check.probe import seconds_of_trainings
from vit.cli.compose import compose
from vit.facts import facts_from_summary
from vit.faults import Fault, Refused
from vit.jobs.training import train
from vit.models.classifier import Head
from vit.models.heads.detr import DetrHead
from vit.runs.directory import RunFolder
from vit.runs.record import read_records
from vit.tasks.assembly import assemble_data, assemble_model, shipped_spec, task_spec
from vit.tasks.classification import Classification
from vit.tasks.heads import build_head
from vit.tasks.spec import TaskSpec, contract_fault, setting_defaults, settings_of
from vit.tasks.specs.classification import ClassificationSpec
from vit.tasks.specs.detection import DetectionSpec
from vit.tasks.task import Task

ROOT = Path(__file__).parents[2]
SMALL = ["data=digits", "data.image_size=32", "tracking=none", "trainer=cpu", "threads=1"]
SMALL += ["schedule.warmup_epochs=0", "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
SMALL += ["backbone.patch_size=8", "trainer.max_epochs=6", "checkpoint.monitor=val/loss"]
SMALL += ["checkpoint.mode=min", "optim.lr=0.01"]
OWN = "task_of_contributing"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The task that docs/task.md writes, as a module of a package of one's own."""
    with module_of("task.md", OWN, tmp_path_factory.mktemp("own")) as module:
        yield module


def config_of(bands=4, kind="Bands", **more):
    task = {"_target_": f"{OWN}.{kind}", "bands": bands, **more}
    return {**compose(SMALL), "task": task, "allow_targets": [OWN]}


def test_the_task_of_contributing_learns_and_is_loaded_with_its_settings(own, tmp_path):
    config = config_of(bands=8)
    report = preflight(config)
    assert report.faults == [] and report.sound.metrics.monitors == ["val/loss"]
    folder = RunFolder(tmp_path / "run")
    folder.freeze(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert train(folder.path, [OWN]) == 0
    rows = [row.metrics for row in read_records(folder.metrics_file)]
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert losses[-1] < 0.9 * losses[0] and any("val/loss" in row for row in rows)
    trained = vit.load(folder.path, allow_targets=[OWN])
    assert trained.model.head.linear.out_features == 8
    dark, bright = trained.predict([np.full((32, 32), grey, np.uint8) for grey in (0, 255)])
    assert len(dark["brightness"]) == 8 and sum(dark["brightness"]) < sum(bright["brightness"])


def test_sizes_and_memory_follow_the_settings_also_within_a_sweep(own):
    few, many = preflight_all([config_of(bands=4), config_of(bands=4004)], "runs/none")
    assert few.faults == many.faults == []
    few, many = few.sound, many.sound
    more = 4000 * (16 + 1)  # weights and biases of the head
    assert many.cost.parameters - few.cost.parameters == more
    flops = 1e9 * (many.cost.gflops_per_image - few.cost.gflops_per_image)
    assert flops == pytest.approx(2 * 4000 * 16)
    for part, copies in (("parameters", 1), ("gradients", 1), ("optimizer", 2)):
        assert getattr(many.memory, part) - getattr(few.memory, part) == copies * 4 * more
    facts, size = facts_from_summary(many.cost.facts), many.training.micro_batch_size
    assert many.memory == training_memory(config_of(bands=4004), facts, size)


def test_steps_of_other_settings_are_timed_on_their_own(own, monkeypatch):
    timed = []
    monkeypatch.setattr(
        "vit.check.probe.seconds_of_a_batch", lambda config, report: timed.append(config) or 1.0
    )
    configs = [config_of(bands=bands) for bands in (4, 8, 4)]
    seconds_of_trainings([(config, preflight(config).to_plain()) for config in configs])
    assert [config["task"]["bands"] for config in timed] == [4, 8]
    timed.clear()
    smoothed = [compose([*SMALL, f"task.label_smoothing={share}"]) for share in (0.0, 0.1)]
    seconds_of_trainings([(config, preflight(config).to_plain()) for config in smoothed])
    assert len(timed) == 1  # of classification no setting changes the model


def test_a_setting_of_the_wrong_type_is_a_fault(own):
    (fault,) = preflight(config_of(bands="many")).faults
    assert fault.where == "task.bands" and "wanted a whole number" in fault.message


def test_an_answer_of_another_shape_is_a_fault(own, monkeypatch):
    build = own.BandsSpec.build_model
    monkeypatch.setattr(
        own.BandsSpec,
        "build_model",
        lambda self, backbone, head, facts, *, bands=4: build(
            self, backbone, head, facts, bands=bands + 1
        ),
    )
    (fault,) = preflight(config_of(bands=4)).faults
    assert fault == Fault("head", "gives (2, 5); wanted (2, 4)")


class Half(TaskSpec):
    def from_data(self, data):
        return {}

    def dummy_loss(self, output):
        return output.sum()


class HalfTask(Task):
    spec = Half

    def training_step(self, batch, batch_idx):
        return self.model(batch.images).sum()


class NoSpec(Task): ...


class AsksForMore(ClassificationSpec):
    def build_model(self, backbone, head, facts, *, mask_ratio=0.5):
        return super().build_model(backbone, head, facts)


class AskedForMore(Classification):
    spec = AsksForMore


LACKING = [
    (
        HalfTask,
        "Half lacks build_model(backbone, head, facts), check_output(output, count, data), "
        "metric_names(model, data), predict(trained, inputs); HalfTask lacks "
        "compute_metrics(split), reset_metrics(), update_metrics(batch, split)",
    ),
    (NoSpec, "names no spec; wanted `spec = …`"),
    (AskedForMore, "AsksForMore.build_model asks for the setting mask_ratio, which AskedForMore"),
]


@pytest.mark.parametrize(("kind", "said"), LACKING)
def test_what_a_task_lacks_is_one_fault_that_names_all_of_it(kind, said, own, monkeypatch):
    monkeypatch.setattr(own, kind.__name__, kind, raising=False)
    monkeypatch.setattr(kind, "__module__", OWN)
    config = config_of(kind=kind.__name__)
    del config["task"]["bands"]
    faults = preflight(config).faults
    assert [fault.where for fault in faults] == ["task"]
    assert said in faults[0].message


def test_a_run_of_a_task_that_lacks_something_is_refused_when_it_is_loaded(
    own, tmp_path, monkeypatch
):
    folder = RunFolder(tmp_path / "run")
    folder.freeze({**config_of(), "trainer": {**config_of()["trainer"], "max_steps": 1}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert train(folder.path, [OWN]) == 0
    monkeypatch.delattr(own.BandsSpec, "predict")
    monkeypatch.setattr(own.BandsSpec, "__abstractmethods__", frozenset({"predict"}))
    with pytest.raises(Refused, match=r"BandsSpec lacks predict\(trained, inputs\)"):
        vit.load(folder.path, allow_targets=[OWN])


def test_every_shipped_task_keeps_its_contract():
    targets = {
        re.search(r"_target_: (\S+)", file.read_text())[1]
        for file in (ROOT / "conf" / "task").glob("*.yaml")
    }
    assert len(targets) == 6
    for target in targets:
        module, _, name = target.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        assert contract_fault(kind) is None
        assert kind.spec.head_protocol is not None and kind.spec.head_example


def test_settings_are_those_of_the_config_and_the_defaults_of_what_it_leaves_out():
    found = settings_of(Classification, {"mixup": 0.5})
    assert found["mixup"] == 0.5 and found["bce_threshold"] == 0.0 and "seed" not in found
    config = compose(["task=text_to_text", "task.beams=3"])
    del config["task"]["length_penalty"]  # as in a config from before there was one
    spec = task_spec(config)
    beams = spec.ask(lambda *, beams=1, length_penalty=1.0: (beams, length_penalty))
    assert beams == (3, 1.0) and spec.model_settings() == {}


class Wide:
    dim, patch_size, depth = 16, 8, 1


def test_a_head_that_is_called_otherwise_is_refused_before_it_runs():
    class TakesAnything(Head):
        def __init__(self, dim, num_classes, **more):
            super().__init__(dim, num_classes)

    given = {"dim": 16, "num_classes": 3}
    assert isinstance(build_head(ClassificationSpec(), TakesAnything, **given), Head)
    with pytest.raises(ValueError, match=r"called with backbone, images, padding=, objects=.*fea"):
        build_head(DetectionSpec(), TakesAnything, **given, patch_size=8, depth=1)
    sized = partial(DetrHead, patch_size=8, depth=1)
    with pytest.raises(ValueError, match=r"head=linear is .*called with features; DetrHead.forw"):
        build_head(ClassificationSpec(), sized, **given)


def test_what_a_config_says_of_a_head_need_not_be_given_and_must_not_be_given_twice():
    config = compose([*SMALL, "head.pool._target_=vit.layers.pool.MeanPool"])
    facts = assemble_data(config).facts
    assert assemble_model(config, facts).head.linear.in_features == 16
    twice = {**config, "head": {**config["head"], "dim": 4}}
    with pytest.raises(ValueError, match="dim must not be configured here"):
        assemble_model(twice, facts)


def test_whoever_looks_at_trained_models_imports_no_lightning():
    """Nor do the specs: what Lightning does is training alone."""
    specs = [f"vit.tasks.specs.{file.stem}" for file in (ROOT / "vit/tasks/specs").glob("[!_]*.py")]
    code = f"import sys, vit.trained, {', '.join(specs)}; print('pytorch_lightning' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


@pytest.mark.parametrize("file", sorted((ROOT / "conf/task").glob("*.yaml")), ids=lambda f: f.stem)
def test_a_shipped_tasks_spec_is_found_without_its_module_and_knows_the_same_defaults(file):
    target = yaml.safe_load(file.read_text())["_target_"]
    kind, spec = locate(target), shipped_spec(target)
    assert spec is kind.spec
    defaults = settings_of(kind, {})
    for _, method in inspect.getmembers(spec, inspect.isfunction):
        for name, default in setting_defaults(method).items():
            assert default == defaults[name], f"{spec.__name__}.{method.__name__}: {name}"


def test_of_other_tasks_the_spec_is_asked_of_their_module():
    for target in ("vit.tasks.task.Task", "vit.tasks.nowhere.Nothing", "mine.Task", None, "a b"):
        assert shipped_spec(target) is None
