"""Structure only, as for the models: what is compared, never how fast."""

import json

import pytest
import torch

from vit.bench import average_precision, detectors
from vit.bench.detectors import OURS, SIZES, THEIRS, Shape, compare
from vit.cli import main as commands

TINY = Shape(
    32, 2, 2, 8, 64, queries=20, groups=2, classes=5, width=32, hidden=32, layers=2, objects=3
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(SIZES, "s", TINY)


def test_both_detectors_are_as_large_and_as_deep():
    pytest.importorskip("transformers")
    ours, theirs = detectors.our_detector(TINY), detectors.rf_detr(TINY)
    count = [sum(p.numel() for p in model.parameters()) for model in (ours, theirs)]
    # Theirs has a mask token and a position of the class token, and one norm for all blocks.
    assert count[0] == count[1] - 2 * TINY.dim + 2 * TINY.dim * (len(ours.head.neck.blocks) - 1)
    assert theirs.config._attn_implementation == "sdpa"
    assert theirs.model.backbone.backbone.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_detectors_have_a_row_for_each_work_and_a_share_of_the_losses(precision):
    pytest.importorskip("transformers")
    result = compare(batch=2, rounds=2, precision=precision)
    rows = [(row.work, row.library) for row in result.rows]
    assert rows == [(work, name) for work in ("forward", "step") for name in (OURS, THEIRS)]
    for row in result.rows:
        assert row.images_per_second > 0
        assert (row.ours_is_faster is None) == (row.library == OURS)
    assert result.losses_share is not None and 0 < result.losses_share.median < 1
    json.dumps(result.as_json(), allow_nan=False)


def test_both_losses_are_of_the_same_size_and_reach_the_first_layer():
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    images, objects = torch.randn(2, 3, 64, 64), detectors.made_up_objects(TINY, 2)
    values = []
    for name, make in detectors.MAKERS.items():
        torch.manual_seed(0)
        model = make(TINY).train()
        loss = detectors.LOSSES[name](model, images, objects, "fp32")
        loss.backward()
        values.append(loss.item())
        first = next(p for name, p in model.named_parameters() if "patch" in name)
        assert first.grad is not None and first.grad.abs().sum() > 0
    assert values[0] == pytest.approx(values[1], rel=0.2)  # other weights, the same sum of parts


def test_without_transformers_ours_runs_alone_and_the_command_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(detectors, "is_installed", lambda: False)
    assert commands.main(["bench", "detectors", "--forward", "--rounds", "1"]) == 0
    shown = capsys.readouterr().out
    assert "skipped transformers, which is not installed: pip install" in shown
    assert "ViT-S/8 at 64 pixels, 20 queries" in shown and "13 groups" in shown


def test_our_ap_in_the_bench_is_that_of_faster_coco_eval_alone():
    result = average_precision.compare(images=30, detections=20, classes=4, rounds=1)
    assert 0.05 < result.our_ap < 0.95
    assert result.our_ap == pytest.approx(result.alone_ap, abs=1e-9)
    assert result.our_seconds > 0 and result.times_as_long.median > 0


def test_detectors_and_ap_share_one_json(monkeypatch, capsys):
    small = average_precision.compare(images=10, detections=5, classes=2, rounds=1)
    monkeypatch.setattr(average_precision, "compare", lambda **given: small)
    words = ["bench", "detectors", "--groups", "3", "--rounds", "1", "--batch", "1", "--json"]
    assert commands.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["schema_version"], result["bench"], result["shape"]["groups"]) == (
        1,
        "detectors",
        3,
    )
    assert result["ap"]["images"] == 10 and {row["work"] for row in result["rows"]} == {
        "forward",
        "step",
    }
    assert commands.main([*words[:2], "--ap", "--json"]) == 0
    assert "rows" not in json.loads(capsys.readouterr().out)


def test_detectors_without_groups_are_refused(capsys):
    assert commands.main(["bench", "detectors", "--groups", "0"]) == 2
    assert "--groups: is 0; wanted at least 1" in capsys.readouterr().err
