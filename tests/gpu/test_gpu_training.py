"""Training on GPUs: `make gpu-check`. Written and read where there was none, so not yet proven."""

import json
import subprocess
import sys
import warnings

import pytest
import pytorch_lightning as lightning
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from vit.callbacks.record import Record
from vit.callbacks.throughput import Throughput
from vit.facts import Facts
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.optim.optimizer import Optim
from vit.optim.schedules import Cosine
from vit.runs.record import Recorder, read_records
from vit.structures import Batch
from vit.tasks.classification import Classification

SIDE, CLASSES, BATCH, STEPS = 32, 10, 16, 12
FACTS = Facts(CLASSES, tuple("0123456789"), (SIDE, SIDE), 3, (0.5,) * 3, (0.5,) * 3)
TWO_GPUS = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


class WaitingIsAnError(lightning.Callback):
    """From the fourth batch to the last but one, fetching and recording included."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 3:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == STEPS - 2:
            torch.cuda.set_sync_debug_mode("default")

    def on_exception(self, trainer, pl_module, exception):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_step_waits_for_the_gpu_between_two_flushes(tmp_path, precision):
    backbone = ViT((SIDE, SIDE), 3, dim=64, depth=2, heads=2, patch_size=8, drop_path=0.1)
    task = Classification(
        Classifier(backbone, Head(64, CLASSES)),
        FACTS,
        Optim(),
        Cosine(),
        seed=0,
        label_smoothing=0.1,
        mixup=0.2,
        cutmix=0.5,
    )
    images = torch.randn(BATCH, 3, SIDE, SIDE)
    batch = Batch(images, torch.arange(BATCH) % CLASSES, torch.arange(BATCH)).pin_memory()
    throughput = Throughput()
    recorder = Recorder(tmp_path / "metrics.jsonl")
    trainer = lightning.Trainer(
        accelerator="gpu",
        devices=1,
        precision=precision,
        max_epochs=1,
        gradient_clip_val=1.0,
        log_every_n_steps=STEPS,
        callbacks=[Record(recorder, throughput), throughput, WaitingIsAnError()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, DataLoader([batch] * STEPS, batch_size=None))
    (record,) = read_records(recorder.path)
    assert record.step == STEPS and record.metrics["train/loss"] > 0


def sum_ranks(rank: int, rendezvous: str) -> None:
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", init_method=rendezvous, rank=rank, world_size=2)
    value = torch.full((1024,), float(rank + 1), device="cuda")
    dist.all_reduce(value)
    assert (value == 3).all()
    dist.destroy_process_group()


@TWO_GPUS
def test_two_processes_sum_over_nccl(tmp_path):
    torch.multiprocessing.spawn(sum_ranks, args=(f"file://{tmp_path}/rendezvous",), nprocs=2)


@TWO_GPUS
def test_vit_train_runs_on_two_gpus(tmp_path):
    words = ["trainer=ddp", "trainer.accelerator=gpu", "trainer.devices=2", "trainer.max_epochs=6"]
    words += ["experiment=digits", "tracking=none", f"hydra.run.dir={tmp_path / 'run'}"]
    subprocess.run([sys.executable, "-m", "vit", "train", *words], check=True, timeout=300)
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    assert state["state"] == "done"
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert results["metrics"]["test/accuracy"] > 0.2  # of ten classes, after six epochs
