"""Models on a GPU: `make gpu-check`. Written and read where there was none, so not yet proven."""

import pytest
import torch
import torch.nn.functional as F

from vit.layers.pool import ClsPool
from vit.layers.position import AxialRope, LearnedPosition
from vit.layers.softmax_attention import attention, attention_with_weights
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head

DEVICE = "cuda"
SIDE, CLASSES, BATCH = 64, 10, 8

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def build(position=LearnedPosition, depth: int = 4, side: int = SIDE) -> Classifier:
    backbone = ViT(
        (side, side), 3, dim=192, depth=depth, heads=3, class_token=True, position=position
    )
    return Classifier(backbone, Head(192, CLASSES, pool=ClsPool)).to(DEVICE)


def batch(count: int = BATCH, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(count, 3, side, side, device=DEVICE)
    return images, torch.arange(count, device=DEVICE) % CLASSES


@pytest.mark.parametrize("position", [LearnedPosition, AxialRope])
def test_bf16_gives_the_logits_of_fp32(position):
    model, (images, _) = build(position).eval(), batch()
    with torch.inference_mode():
        exact = model(images)
        with torch.autocast(DEVICE, torch.bfloat16):
            rounded = model(images).float()
    # bf16 keeps 8 bits: some 0.4 % for each of the products that follow one another.
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masks", ["none", "boolean", "additive", "causal"])
def test_the_fused_attention_equals_the_explicit_one(masks, precision):
    tolerance = 1e-5 if precision == torch.float32 else 2e-2
    q, k, v = torch.randn(3, 2, 3, 50, 64, device=DEVICE, dtype=precision)
    mask = None
    if masks == "boolean":
        mask = torch.rand(50, 50, device=DEVICE) < 0.7
        mask[3] = False  # a query that may see nothing
    if masks == "additive":
        mask = torch.randn(50, 50, device=DEVICE, dtype=precision)
    causal = masks == "causal"
    fused = attention(q, k, v, mask, causal=causal)
    explicit, _ = attention_with_weights(q, k, v, mask, causal=causal)
    torch.testing.assert_close(fused, explicit, atol=tolerance, rtol=tolerance)
    if masks == "boolean":
        assert not fused[:, :, 3].any()


def test_a_training_step_stays_within_the_estimated_memory(capsys):
    """Reports the peak; the estimate counts what must be kept, and a fifth more."""
    side, depth, count = 224, 12, 32
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model, (images, targets) = build(depth=depth, side=side).train(), batch(count, side)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for _ in range(3):
        F.cross_entropy(model(images), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    peak = torch.cuda.max_memory_allocated() - before
    # Weight, gradient and two moments of each parameter. Of each block 16.5 numbers a token and
    # channel wait for the backward pass (counted by saved_tensors_hooks with torch 2.14.1).
    parameters = sum(parameter.numel() for parameter in model.parameters())
    tokens = (side // 16) ** 2 + 1
    estimate = 4 * (4 * parameters + 20 * count * tokens * 192 * depth + images.numel())
    with capsys.disabled():
        print(f"\npeak {peak / 2**20:,.0f} MiB, estimated {estimate / 2**20:,.0f} MiB")
    assert peak <= estimate
