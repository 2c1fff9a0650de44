import pytest

from vit.check.preflight import preflight
from vit.check.trainer import trainer_faults
from vit.cli.compose import compose
from vit.faults import Refused
from vit.schema import schema_faults
from vit.tasks.trainer import completed


@pytest.fixture(scope="module")
def config():
    return compose(["experiment=digits"])


def faults(config, **settings):
    faults = trainer_faults({**config, "trainer": {**config["trainer"], **settings}}, ())
    return [(fault.where, fault.message) for fault in faults]


def test_shipped_trainers_are_sound(config):
    assert faults(config) == []
    fsdp = {"_target_": "pytorch_lightning.strategies.ModelParallelStrategy"}
    assert faults(config, strategy=fsdp, accelerator="gpu", devices=8) == []
    assert faults(config, strategy="ddp", precision="16-mixed", num_nodes=2) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("strategy", "nope", "ddp"),
        ("strategy", "dpp", "Did you mean 'ddp'?"),
        ("accelerator", "gqu", "Did you mean 'gpu'?"),
        ("profiler", "nope", "simple"),
        ("max_time", "x", "DD:HH:MM:SS"),
        ("max_time", {"x": 1}, "x"),
        ("barebones", True, "wanted false"),
        ("fast_dev_run", 3, "debug=one_batch"),
        ("enable_checkpointing", False, "wanted true"),
        ("limit_train_batches", 1.5, "[0.0, 1.0]"),
        ("gradient_clip_algorithm", "x", "norm"),
        ("precision", "transformer-engine", "transformer_engine"),
    ],
)
def test_what_lightning_would_refuse_is_told_by_its_key(config, key, value, said):
    ((where, message),) = faults(config, **{key: value})
    assert where == f"trainer.{key}"
    assert said in message


def test_a_profiler_may_be_a_part(config, tmp_path):
    part = {"_target_": "pytorch_lightning.profilers.SimpleProfiler"}
    assert faults(config, profiler=part) == []
    trainer = {**config["trainer"], "profiler": part}
    assert completed({**config, "trainer": trainer}, tmp_path, 1)["profiler"] == part


@pytest.mark.parametrize(("share", "few"), [(1, True), (0.1, True), (1.0, False), (None, False)])
def test_evaluation_on_a_few_batches_is_warned_of(config, share, few):
    report = preflight({**config, "trainer": {**config["trainer"], "limit_test_batches": share}})
    assert any("limit_test_batches" in line for line in report.warnings) == few


def test_what_must_be_given_is_the_only_fault():
    with pytest.raises(Refused) as caught:
        compose(["experiment=detection"])
    assert [fault.where for fault in caught.value.faults] == ["data.root"]
    assert "name" not in {fault.where for fault in schema_faults(caught.value.rest)}


def test_several_faults_are_told_together(config):
    wrong = faults(config, profiler="nope", max_time="x", strategy="nope", overfit_batches=1.5)
    keys = {"profiler", "max_time", "strategy", "overfit_batches"}
    assert {where for where, _ in wrong} == {f"trainer.{key}" for key in keys}


def test_the_check_leaves_torch_as_it_is(config):
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    assert faults(config, deterministic=True, benchmark=True) == []
    assert before == (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
