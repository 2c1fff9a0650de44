import functools
import sys
import types

import pytest
from torch import nn

from vit.build import TargetError, build, locate


def test_a_part_is_built_from_its_mapping_and_the_given_facts():
    layer = build({"_target_": "torch.nn.Linear", "bias": False}, in_features=3, out_features=2)
    assert isinstance(layer, nn.Linear)
    assert layer.weight.shape == (2, 3)
    assert layer.bias is None


def test_nested_parts_are_built_first_and_partials_wait_for_their_owner():
    built = build(
        {
            "_target_": "torch.nn.TransformerEncoder",
            "num_layers": 2,
            "enable_nested_tensor": False,
            "encoder_layer": {
                "_target_": "torch.nn.TransformerEncoderLayer",
                "d_model": 8,
                "nhead": 2,
            },
        }
    )
    assert len(built.layers) == 2
    waiting = build({"_target_": "torch.nn.Linear", "_partial_": True, "bias": False})
    assert isinstance(waiting, functools.partial)
    assert waiting(2, 2).bias is None


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "shutil.copy",
        "distutils.spawn.spawn",
        "torch.load",
        "torch.hub.load",
        "torch.utils.cpp_extension.load_inline",
        "pickle.loads",
        "vit.runs.process.run",
        "torchx.nn.Linear",
    ],
)
def test_targets_outside_the_packages_of_parts_are_refused(target):
    with pytest.raises(TargetError, match="outside the packages"):
        locate(target)


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.modules.module.warnings.warn",  # reached through an allowed module
        "torch.optim.optimizer.functools.reduce",
        "torch.nn.Linear.__init__",
        "pytorch_lightning.strategies.SingleDeviceStrategy.load_checkpoint",
        "vit.jobs.evaluation.evaluate",
        "vit.jobs.training.train",
        "torch.nn.parallel.distributed.copy.copy",
    ],
)
def test_an_allowed_module_lends_no_name_that_it_imported(target):
    with pytest.raises(TargetError):
        locate(target)


@pytest.mark.parametrize(
    "target",
    [
        "vit.tasks.task.Task",  # what they extend, itself no task
        "vit.tasks.task.OptimizerPart",
        "vit.tasks.mixing.Mixing",
        "vit.tasks.classification.Classification.predicted",
        "vit.jobs.evaluation.RunFolder",
    ],
)
def test_of_the_tasks_package_nothing_but_tasks_is_let_in(target):
    with pytest.raises(TargetError):
        locate(target)


def test_a_new_task_is_let_in_by_what_it_is(monkeypatch):
    module = types.ModuleType("vit.tasks.new")
    exec(NEW_TASK, vars(module))
    monkeypatch.setitem(sys.modules, "vit.tasks.new", module)
    monkeypatch.setattr("vit.tasks.new", module, raising=False)
    assert locate("vit.tasks.new.New") is module.New
    for other in ("Beside", "wipe"):
        with pytest.raises(TargetError, match="is no task"):
            locate(f"vit.tasks.new.{other}")


NEW_TASK = """
from vit.tasks.task import Task

class New(Task): ...
class Beside: ...
def wipe(): ...
"""


def test_a_package_that_the_user_names_is_allowed():
    assert locate("collections.OrderedDict", ["collections"])
    with pytest.raises(TargetError):
        locate("collections.OrderedDict", ["collect"])


def test_a_misspelt_target_names_the_nearest():
    with pytest.raises(TargetError, match="Did you mean 'Linear'"):
        locate("torch.nn.Linaer")


def test_a_key_that_code_decides_cannot_be_configured_as_well():
    with pytest.raises(ValueError, match="in_features must not be configured"):
        build({"_target_": "torch.nn.Linear", "in_features": 2}, in_features=3, out_features=1)
