"""What the check says of BatchNorm: how a batch is cut up, and what cannot be right."""

import pytest
import torch

from vit.check.batch_statistics import batch_statistics
from vit.check.preflight import plain_report
from vit.cli.compose import compose
from vit.frozen import accumulation, processes
from vit.tasks.assembly import assemble_data, assemble_model
from vit.tuning.freezing import keep_still

SMALL = ["data=digits", "data.image_size=32", "tracking=none", "threads=1", "trainer.max_steps=2"]
SMALL += ["schedule.warmup_epochs=0", "backbone=timm", "data.batch_size=8"]
RESNET, CONVNEXT = "backbone.name=test_resnet", "backbone.name=test_convnext"


def said(*words):
    config = compose([*SMALL, "trainer.accelerator=cpu", *words])
    data, count = assemble_data(config), processes(config)
    with torch.device("meta"):
        model = keep_still(assemble_model(config, data.facts).train())
    each = config["data"]["batch_size"] // (count * accumulation(config))
    faults, warnings = batch_statistics(config, model, data, each, count)
    assert model.training
    return [str(fault) for fault in faults], warnings


def test_the_check_asks():
    words = ["trainer.accumulate_grad_batches=4", "trainer.accelerator=cpu", RESNET]
    report = plain_report(compose([*SMALL, *words]), None, False)
    assert report["faults"] == [] and report["memory"]["activations"] > 0
    assert [each for each in report["warnings"] if "BatchNorm" in each]


def test_one_process_with_whole_batches_is_not_spoken_of():
    assert said(RESNET) == ([], [])


@pytest.mark.parametrize(
    ("words", "each", "advised"),
    [
        (["trainer=ddp"], "4 images of each process,", True),
        (["trainer.accumulate_grad_batches=4"], "2 images of each micro-batch,", False),
        (
            ["trainer=ddp", "trainer.accumulate_grad_batches=2"],
            "2 images of each process and micro-batch,",
            True,
        ),
    ],
)
def test_a_batch_that_is_cut_up_is_warned_of(words, each, advised):
    faults, (warning,) = said(*words, RESNET)
    assert faults == []
    assert each in warning and "test_resnet has BatchNorm" in warning
    assert ("trainer.sync_batchnorm=true" in warning) == advised
    assert said(*words, CONVNEXT) == ([], [])


def test_statistics_that_stand_still_are_no_fault_and_not_spoken_of():
    for words in (["data.batch_size=1"], ["trainer=fsdp", "ema=none"], ["trainer=ddp"]):
        assert said(*words, RESNET, "tuning=head") == ([], [])


def test_what_cannot_be_right_is_a_fault():
    faults, _ = said("trainer=fsdp", "ema=none", RESNET)
    assert len(faults) == 1 and "test_resnet has BatchNorm, whose running stat" in faults[0]
    assert said("trainer=fsdp", "ema=none", CONVNEXT) == ([], [])
    faults, _ = said("trainer=ddp", "trainer.sync_batchnorm=true", RESNET)
    assert faults == ["trainer.sync_batchnorm: torch has it for GPUs alone; take false"]
    faults, _ = said("data.batch_size=1", RESNET)
    assert len(faults) == 1 and "leaves one image at a time to BatchNorm" in faults[0]
    assert said("data.batch_size=1", "data.image_size=64", RESNET)[0] == []
