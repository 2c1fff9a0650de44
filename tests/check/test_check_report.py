"""The check's report: parts for code, and the plain form that programs and other processes read."""

import json

import pytest

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.faults import Fault, Refused
from vit.runs.check_report import CheckReport, DataReport, SplitReport

SMALL = ["backbone.dim=16", "backbone.depth=1", "threads=1", "tracking=none"]
KEYS = (
    *("faults", "lacking", "warnings", "processes", "batch_size", "micro_batch_size"),
    *("batches_per_epoch", "steps_per_epoch", "steps", "monitors", "better", "signed"),
    *("schedule", "checkpoints", "parameters", "gflops_per_image", "unit"),
    *("image_size", "channels", "num_classes", "tokens", "memory", "data", "gpus"),
)


def test_the_plain_report_has_the_keys_that_programs_know_in_their_order():
    report = preflight(compose(["experiment=digits", *SMALL]))
    assert tuple(report.to_plain()) == KEYS


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=digits", "optim.layer_decay=0.5", "trainer.deterministic=warn"],
        ["experiment=digits", "trainer.devices=2"],
        ["experiment=digits", "optim.lr=fast"],
        ["experiment=number_words", "head.blocks.depth=1"],
    ],
    ids=lambda words: words[-1],
)
def test_a_report_comes_back_from_its_plain_form(words):
    report = preflight(compose([*words, *SMALL]))
    sent = json.dumps(report.to_plain())
    again = CheckReport.from_plain(json.loads(sent))
    assert again == report
    assert json.dumps(again.to_plain()) == sent


def test_what_one_kind_of_data_counts_by_itself_travels_too():
    plain = {"train": {"images": 3, "from": "a", "per_class": {"x": 3}, "tunes": 7}}
    data = DataReport.from_plain({**plain, "fingerprint": "f"})
    assert data.splits["train"] == SplitReport(3, "a", {"x": 3}, {"tunes": 7})
    assert data.to_plain() == {**plain, "fingerprint": "f"}


def test_faulty_configs_have_no_run_and_asking_for_it_refuses_with_the_faults():
    faults = [Fault("seed", "is wrong")]
    with pytest.raises(Refused) as raised:
        _ = CheckReport(faults, [], []).sound
    assert raised.value.faults == faults
