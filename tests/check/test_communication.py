"""What the check says of sending against what torch's own collectives are given."""

import pytest
import torch
from fake_ranks import replicated_step, step

from vit.check.communication import traffic_of
from vit.check.memory import training_memory
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.facts import facts_from_summary
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head

FSDP = {"_target_": "pytorch_lightning.strategies.ModelParallelStrategy"}


def model(dim=48, depth=3, device="meta"):
    with torch.device(device):
        backbone = ViT((32, 32), 3, dim=dim, depth=depth, heads=3, patch_size=8, class_token=True)
        return Classifier(backbone, Head(dim, 10))


def traffic(of, count, accumulate=1, precision="32-true", strategy=FSDP):
    trainer = {
        "strategy": strategy,
        "accumulate_grad_batches": accumulate,
        "precision": precision,
    }
    return traffic_of({"trainer": trainer}, of, count)


@pytest.mark.parametrize(("count", "accumulate"), [(2, 1), (8, 3), (50, 1), (64, 1)])
def test_sharded_traffic_is_what_the_collectives_are_given(count, accumulate):
    found, _, _ = step(model(), (32, 32), count, micro_batches=accumulate)
    expected = traffic(model(), count, accumulate)
    assert found["_allgather_base_"] == expected.all_gather_bytes > 0
    assert found["_reduce_scatter_base_"] == expected.reduce_scatter_bytes > 0
    whole = expected.all_gather_bytes + expected.reduce_scatter_bytes
    assert expected.sent_bytes == whole * (count - 1) // count
    assert expected.units == 4


@pytest.mark.filterwarnings("ignore")
def test_replicated_traffic_is_what_the_buckets_hold():
    found = replicated_step(model(device="cpu"), (32, 32), 4)
    expected = traffic(model(), 4, accumulate=2, strategy="ddp")
    assert found == expected.all_reduce_bytes > 0
    assert expected.sent_bytes == 2 * found * 3 // 4


def test_half_weights_send_half():
    whole, half = traffic(model(), 8), traffic(model(), 8, precision="bf16-true")
    assert whole == traffic(model(), 8, precision="bf16-mixed")
    assert half.sent_bytes == whole.sent_bytes // 2


@pytest.mark.slow
@pytest.mark.parametrize(("dim", "depth", "heads"), [(384, 12, 6), (768, 12, 12), (1024, 24, 16)])
@pytest.mark.parametrize("count", [8, 64])
def test_memory_of_a_process_is_what_torchs_tracker_finds(dim, depth, heads, count):
    words = [f"backbone.dim={dim}", f"backbone.depth={depth}", f"backbone.heads={heads}"]
    size = ["data.image_size=224", "data.channels=3", "backbone.patch_size=16", "threads=1"]
    config = compose(["experiment=digits", "trainer=fsdp", "optim=adamw", *words, *size])
    facts = facts_from_summary({"image_size": [224, 224], "channels": 3, "num_classes": 10})
    expected = training_memory(config, facts, 4, count)
    with torch.device("meta"):
        backbone = ViT((224, 224), 3, dim=dim, depth=depth, heads=heads, patch_size=16)
        one = Classifier(backbone, Head(dim, 10))
    _, _, peak = step(one, (224, 224), count, batch=4, memory=True)
    ours = expected.total - expected.optimizer  # the tracker saw no optimizer
    print(f"{dim} × {depth} on {count}: {peak / 1e6:.0f} MB, ours {ours / 1e6:.0f}")
    assert ours == pytest.approx(peak, rel=0.15)


def test_what_does_not_divide_is_a_warning():
    words = ["experiment=digits", "threads=1", "trainer=fsdp", "trainer.devices=50", "ema=none"]
    report = preflight(compose([*words, "data.batch_size=100"]))
    assert report.sound.traffic.padding_bytes > 0
    assert any("do not divide by the processes" in warning for warning in report.warnings)
    report = preflight(compose(["experiment=digits", "threads=1", "trainer.devices=200"]))
    messages = [fault.message for fault in report.faults if fault.where == "trainer.devices"]
    assert any("images cannot be shared by 200 devices" in message for message in messages)
