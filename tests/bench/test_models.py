"""Structure only: which rows there are and that their numbers make sense, never how fast."""

import json
import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.bench import models
from vit.bench.models import BUILDERS, OURS, Shape, compare, model_flops

TINY = Shape(dim=32, depth=2, heads=2, patch_size=8, image_size=16, classes=5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_installed_library_has_a_row_for_each_work(precision, monkeypatch):
    # A CPU that has no bf16 takes minutes for the products of the real yardstick.
    a, b = torch.ones(64, 64), torch.ones(64, 64)
    monkeypatch.setattr(models, "gemm", lambda device, dtype: (lambda: a @ b, 2 * 64**3))
    installed = {name for name in BUILDERS if models.is_installed(name)}
    result = compare("tiny", shape=TINY, batch=2, rounds=3, precision=precision)
    assert {(row.work, row.library) for row in result.rows} == {
        (work, name) for work in ("forward", "step") for name in installed
    }
    assert set(result.skipped) == set(BUILDERS) - installed
    for row in result.rows:
        assert row.images_per_second > 0 and 0 < row.gemm_fraction < math.inf
        if row.library == OURS:
            assert row.ours_is_faster is None
        else:
            low, high = row.ours_is_faster.low, row.ours_is_faster.high
            assert 0 < low <= row.ours_is_faster.median <= high < math.inf
    json.dumps(result.as_json(), allow_nan=False)


def test_a_library_that_is_missing_is_named_with_its_command(monkeypatch):
    absent = BUILDERS["timm"]._replace(module="no_such_module_anywhere")
    monkeypatch.setitem(BUILDERS, "timm", absent)
    result = compare("tiny", shape=TINY, libraries=["timm"], works=["forward"], batch=1, rounds=1)
    assert result.skipped == {"timm": "pip install timm"}
    assert [row.library for row in result.rows] == [OURS]
    assert result.closest_peer("forward") is None


@pytest.mark.parametrize("name", [name for name in BUILDERS if models.is_installed(name)])
def test_all_libraries_are_measured_on_the_same_products(name):
    model = BUILDERS[name].build(TINY, "cpu", compiled=False, training=True)
    images = torch.randn(1, 3, TINY.image_size, TINY.image_size)
    # The counter sees through this kernel alone.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = model.logits(images)
    assert logits.shape == (1, TINY.classes)
    assert counter.get_total_flops() == pytest.approx(model_flops(TINY), rel=0.01)
