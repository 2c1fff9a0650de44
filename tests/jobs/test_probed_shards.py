"""watch.probe_every where the weights lie in shards: FSDP2 on two processes (gloo, on the CPU)."""

import pytest
from kills import start

from vit.cli.compose import compose
from vit.runs.directory import RunFolder
from vit.runs.record import read_records

pytestmark = pytest.mark.slow
WORDS = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=2",
    "backbone.output_norm=pooled",  # a norm that is applied behind the backbone, in shards too
    "tracking=none",
    "threads=1",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "optim.lr=0.003",
    "schedule.warmup_epochs=0",
    "ema=none",
    "watch.attention=0",
    "watch.pictures=0",
    "watch.probe_every=1",
    "watch.probe_linear=true",
]
NAMES = ("val/knn_accuracy", "val/linear_accuracy", "val/accuracy")


def test_two_processes_with_a_part_of_the_weights_each_tell_as_one(tmp_path):
    found = {}
    for devices, more in ((1, []), (2, ["trainer=fsdp", "trainer.devices=2"])):
        folder = RunFolder(tmp_path / str(devices))
        folder.freeze(compose([*more, *WORDS]))
        assert start(folder, devices).wait(300) == 0, folder.log_file.read_text()
        records = [each for each in read_records(folder.metrics_file) if NAMES[0] in each.metrics]
        assert [each.epoch for each in records] == [0, 1]
        found[devices] = [each.metrics[name] for each in records for name in NAMES]
    # The trainings differ in the last bits of their sums: of 196 images a few may fall otherwise.
    assert found[2] == pytest.approx(found[1], abs=0.03) and found[1][0] > 0.2
