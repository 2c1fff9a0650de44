"""A toy data set, model, optimizer and schedule for tasks to train with."""

import signal
import warnings

import pytest
import pytorch_lightning as lightning
import torch
from torch import nn
from torch.utils.data import DataLoader

from vit.build import locate
from vit.cli.compose import compose
from vit.facts import Facts
from vit.jobs.training import DONE, STOPPED, train
from vit.runs.directory import RunFolder
from vit.runs.record import read_records
from vit.structures import Batch
from vit.tasks.classification import Classification


class Sgd:
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.5)


class Linear:
    """Falls to 0, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        self.asked.append((step, total_steps, steps_per_epoch))
        return 1 - step / total_steps


class Toy:
    """Images whose brightest of eight columns is their class."""

    def __init__(self, multi_label: bool = False):
        names = tuple("abcdefgh")
        self.facts = Facts(8, names, (4, 8), 1, (0.0,), (1.0,), multi_label)
        draw = torch.Generator().manual_seed(5)
        self.labels = torch.randint(8, (96,), generator=draw)
        self.images = torch.randn(96, 1, 4, 8, generator=draw)
        self.images[torch.arange(96), :, :, self.labels] += 2

    def batches(self, size: int) -> list[Batch]:
        targets = self.labels
        if self.facts.multi_label:
            targets = torch.eye(8)[self.labels] + torch.eye(8)[(self.labels + 3) % 8]
        parts = (values.split(size) for values in (self.images, targets, torch.arange(96)))
        return [Batch(*part) for part in zip(*parts, strict=True)]

    def loader(self, size: int = 24) -> DataLoader:
        return DataLoader(self.batches(size), batch_size=None)

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(32, 8))

    def task(self, **options) -> Classification:
        given = {"optim": Sgd(), "schedule": Linear(), "seed": 0} | options
        return Classification(self.model(), self.facts, **given)


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def toy_of_several_labels() -> Toy:
    return Toy(multi_label=True)


@pytest.fixture
def trainer(tmp_path):
    def make(**options) -> lightning.Trainer:
        quiet = {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "use_distributed_sampler": False,
            "default_root_dir": tmp_path,
        }
        return lightning.Trainer(**(quiet | options))

    return make


@pytest.fixture
def logged():
    """What a task's spec says that each validation logs."""

    def names(task, data, **settings) -> set[str]:
        return {f"val/{name}" for name in task.spec().metric_names(task.model, data, **settings)}

    return names


@pytest.fixture(autouse=True)
def lightnings_own_remarks():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*have no `val_dataloader`.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated", FutureWarning)  # torch 2.14
        yield


@pytest.fixture
def stopped_and_whole(tmp_path, monkeypatch):
    """What two runs of 2 epochs leave; the first was stopped within its second and went on."""

    def outcome(folder: RunFolder) -> dict:
        content = torch.load(folder.last_checkpoint, weights_only=True)
        states = content["optimizer_states"][0]["state"].values()
        numbers = [part for state in states for part in state.values() if torch.is_tensor(part)]
        records = read_records(folder.metrics_file)
        return {
            "weights": {k: v.numpy().tobytes() for k, v in content["state_dict"].items()},
            "optimizer": [part.numpy().tobytes() for part in numbers],
            "metrics": [(record.step, record.metrics) for record in records],
            "samples": folder.results().get("tables", {}).get("samples", []),
        }

    def run(words: list[str]) -> list[dict]:
        small = ["tracking=none", "data.batch_size=8", "trainer.max_epochs=2"]
        small += ["trainer.log_every_n_steps=3", "trainer.val_check_interval=1.0"]
        small += ["schedule.warmup_epochs=0.5"]
        config = compose([*words, *small])
        kind = locate(config["task"]["_target_"])
        step, seen, stop = kind.training_step, [], 0

        def watched(self, batch, batch_idx):
            seen.append(batch.index.tolist())
            if len(seen) == stop:
                signal.raise_signal(signal.SIGINT)  # answered after the batch
            return step(self, batch, batch_idx)

        monkeypatch.setattr(kind, "training_step", watched)
        rows = []
        for name, stop in (("stopped", 6), ("whole", 0)):
            folder = RunFolder(tmp_path / name)
            folder.freeze(config)
            seen.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert [train(folder.path) for _ in range(1 + (stop > 0))] == (
                    [STOPPED, DONE] if stop else [DONE]
                )
            rows.append({"seen": list(seen), **outcome(folder)})
        return rows

    return run
