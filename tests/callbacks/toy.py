"""A training small enough to be run a dozen times a second: 48 images, a model with dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vit.callbacks.checkpoints.policy import checkpoint_callbacks
from vit.callbacks.checkpoints.resume import ExactResume
from vit.callbacks.checkpoints.saving import AtomicCheckpointIO
from vit.callbacks.record import Record
from vit.callbacks.schedule_free import ScheduleFree
from vit.callbacks.throughput import Throughput
from vit.data.core.sampling import EpochSampler, EvaluationSampler
from vit.facts import Facts
from vit.optim.optimizer import Optim
from vit.optim.schedules import Cosine
from vit.runs.record import Recorder
from vit.structures import Batch
from vit.tasks.classification import Classification

# What Lightning 2.6.6 says under torch 2.14, and about a training as small as this one.
LIGHTNING_TALKS = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]
FACTS = Facts(3, ("a", "b", "c"), (2, 2), 1, (0.5,), (0.5,))


class Images(Dataset):
    def __init__(self, length: int):
        generator = torch.Generator().manual_seed(7)
        self.images = torch.randn(length, 1, 2, 2, generator=generator)
        self.targets = torch.arange(length) % 3

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys) -> Batch:
        index = torch.tensor([key.sample for key in keys])
        noise = torch.tensor([0.01 * key.epoch for key in keys]).view(-1, 1, 1, 1)
        return Batch(self.images[index] + noise, self.targets[index], index)


class Model(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))


def as_it_is(batch: Batch) -> Batch:
    return batch


def loader(length: int, *, training: bool, workers: int = 0, accumulate: int = 1) -> DataLoader:
    sampler: Any = EvaluationSampler(length, 8)
    if training:
        sampler = EpochSampler(length, 8, seed=3, accumulate=accumulate)
    return DataLoader(
        Images(length),
        batch_sampler=sampler,
        collate_fn=as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


class Toy:
    """One training in a folder; made anew with the same folder, it goes on."""

    def __init__(
        self,
        folder: Path,
        *,
        epochs: int = 3,
        workers: int = 0,
        accumulate: int = 1,
        optim: Optim | None = None,
        extra: tuple[lightning.Callback, ...] = (),
        monitor: str = "val/loss",
        mode: str = "min",
        every_n_steps: int | None = None,
        patience: int | None = None,
        log_every_n_steps: int = 4,
        asynchronous: bool = False,
        keep: dict[str, int] | None = None,
        **trainer: Any,
    ):
        torch.manual_seed(5)
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.train_loader = loader(48, training=True, workers=workers, accumulate=accumulate)
        self.val_loader = loader(12, training=False, workers=workers)
        self.task = Classification(
            Model(), FACTS, optim or Optim(lr=0.01), Cosine(warmup_steps=2), seed=0
        )
        self.throughput = Throughput()
        kept: Any = keep or {}
        self.trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            accumulate_grad_batches=accumulate,
            log_every_n_steps=log_every_n_steps,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            plugins=[AtomicCheckpointIO(asynchronous)],
            default_root_dir=str(folder),
            callbacks=[
                ExactResume(self.train_loader.batch_sampler),  # type: ignore[arg-type]
                *([ScheduleFree()] if optim and optim.schedule_free else []),
                *extra,
                Record(Recorder(folder / "metrics.jsonl"), self.throughput),
                self.throughput,
                *checkpoint_callbacks(folder, monitor, mode, every_n_steps, patience, **kept),  # type: ignore[arg-type]
            ],
            **trainer,
        )

    def fit(self) -> Toy:
        last = self.folder / "last.ckpt"
        self.trainer.fit(
            self.task,
            self.train_loader,
            self.val_loader,
            ckpt_path=str(last) if last.exists() else None,
        )
        self.trainer.strategy.checkpoint_io.wait()
        return self

    def weights(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.task.named_parameters()}
