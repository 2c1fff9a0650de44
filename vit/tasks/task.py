"""What training shares, whatever the task: optimizer, schedule, recording, evaluations."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim.lr_scheduler import LambdaLR

from vit.facts import AnyFacts
from vit.metrics.running import RunningMeans
from vit.optim.schedules import Extended
from vit.runs.distributed import sum_dtype
from vit.runs.mistake_gallery import Album
from vit.runs.predictions import Predictions
from vit.tasks.spec import TaskSpec
from vit.tuning.freezing import keep_still


@runtime_checkable
class OptimizerPart(Protocol):
    """What `optim` must offer; see vit/optim."""

    def build(self, model: nn.Module) -> torch.optim.Optimizer: ...


@runtime_checkable
class Moving(Protocol):
    """A batch of whatever kind; see vit/structures.py."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Moving: ...


@runtime_checkable
class SchedulePart(Protocol):
    """What `schedule` must offer: the factor of every learning rate at an optimizer step."""

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float: ...


class Task(lightning.LightningModule):
    """A model in training and evaluation: how a kind of task steps and measures.

    What else a task is says its spec (vit/tasks/spec.py). An author names it, and writes the
    abstract methods: `training_step`, `reset_metrics`, `update_metrics` and `compute_metrics`.
    `tables`, `pictures`, `predictions`, `mistakes` and `mixes` are for those that have such. The
    constructor's keyword-only arguments are the task's settings, its keys in a config; what
    `spec.from_data` gives comes before them.

    With `compile`, torch.compile wraps the model's forward and nothing else; the keys of the
    state dict stay those of the plain model.

    `counted` says of the metrics whose counting has changed since there is vit how they are counted
    (vit/runs/counted.py). It travels in the checkpoint, so that a run begun otherwise is known.
    """

    spec: ClassVar[type[TaskSpec]]
    counted: Mapping[str, str] = {}

    def __init__(
        self,
        model: nn.Module,
        facts: AnyFacts,
        optim: OptimizerPart,
        schedule: SchedulePart,
        seed: int,
        compile: bool,
    ):
        super().__init__()
        self.model = model
        self.facts: Any = facts
        self.optim = optim
        self.schedule = schedule
        self.seed = seed
        self.tested = "test"  # the split that `trainer.test` is given
        self.running = RunningMeans()  # of training, for the callbacks
        if compile:
            self.model.compile()  # in place: a wrapping module would rename every parameter

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch; `record` keeps what else is of interest."""

    @abstractmethod
    def reset_metrics(self) -> None:
        """Forgets the evaluation before."""

    @abstractmethod
    def update_metrics(self, batch: Any, split: str) -> None:
        """Adds a batch of a split to the evaluation."""

    @abstractmethod
    def compute_metrics(self, split: str) -> dict[str, float]:
        """The metrics since `reset_metrics`, the same on every rank; all must call it.

        Their names are those of the spec's `metric_names`.
        """

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.update_metrics(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.update_metrics(batch, self.tested)

    def on_validation_epoch_start(self) -> None:
        self.reset_metrics()

    def on_test_epoch_start(self) -> None:
        self.reset_metrics()

    def on_validation_epoch_end(self) -> None:
        log_evaluation(self, "val", self.compute_metrics("val"))

    def on_test_epoch_end(self) -> None:
        log_evaluation(self, "test", self.compute_metrics(self.tested))

    def tables(self) -> dict[str, list]:
        """What the last evaluation found beyond single numbers, as plain lists."""
        return {}

    def pictures(self) -> list[dict[str, Any]]:
        """A few images of the last validation and what was said of them, to be logged."""
        return []

    def predictions(self, split: str) -> Predictions | None:
        """What the last evaluation said of each sample; None where that is not one class."""
        return None

    def mistakes(self, split: str, most: int) -> Album | None:
        """Pictures of what the last evaluation got most wrong; None where there are none to draw.

        Asked of the first process only, which knows the samples of all.
        """
        return None

    def train(self, mode: bool = True) -> Task:
        """As any module's; what `tuning` has frozen stays in evaluation mode."""
        super().train(mode)
        keep_still(self)
        return self

    @property
    def mixes(self) -> bool:
        """Whether training mixes neighbouring images, so that slices want one lent to them."""
        return False

    def configure_model(self) -> None:
        """Where the strategy shards, gives each device its part of the weights (FSDP2)."""
        mesh = getattr(self.trainer.strategy, "device_mesh", None)
        if mesh is None or isinstance(self.model, FSDPModule):
            return
        shards = getattr(self.model, "shards", None)  # any torch module may be trained
        for block in shards() if callable(shards) else []:
            fully_shard(block, mesh=mesh["data_parallel"])
        fully_shard(self.model, mesh=mesh["data_parallel"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.optim.build(self.model)
        steps = total_steps(self.trainer)
        self.trainer.fit_loop.setup_data()  # else nothing is known where only max_steps is set
        steps_per_epoch = steps_of_epoch(self.trainer)

        # A function, not an object: a scheduler saves the attributes of objects.
        def scale(step: int) -> float:
            return self.schedule.scale(step, steps, steps_per_epoch)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, scale), "interval": "step"},
        }

    def transfer_batch_to_device(
        self, batch: Moving, device: torch.device, dataloader_idx: int
    ) -> Moving:
        # Lightning copies without waiting only what is itself a tensor.
        return batch.to(device, non_blocking=device.type == "cuda")

    def record(
        self, metrics: Mapping[str, Tensor], weight: int, index: Tensor | None = None
    ) -> None:
        """Adds scalars to the means of training without waiting for the device.

        `weight` is the number of images they are means of, `index` which images those were.
        """
        self.running.add(metrics, weight, self.global_step, index)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["facts"] = self.facts.plain()
        if self.counted:
            checkpoint["counted"] = dict(self.counted)


def log_evaluation(task: Task, named: str, metrics: Mapping[str, float]) -> None:
    """Logs what an evaluation measured as `named/…`, the same on every rank."""
    dtype = sum_dtype(task.device)  # Lightning would round plain floats to float32
    task.log_dict(
        {
            f"{named}/{name}": torch.tensor(value, dtype=dtype, device=task.device)
            for name, value in metrics.items()
        },
        # The record callback writes validation where it belongs on the x axis; but what
        # `trainer.test` returns is what loggers get.
        logger=None if named == "test" else False,
        # All ranks have the same value already; of equal ones the largest is exact.
        reduce_fx="max",
        sync_dist=True,
    )


def total_steps(trainer: lightning.Trainer) -> int:
    """Optimizer steps of the whole training.

    Raises ValueError where no end is set, since a schedule could not know where it is.
    """
    steps = trainer.estimated_stepping_batches
    if not math.isfinite(steps):
        raise ValueError(
            "the training has no end that the schedule could aim at: set trainer.max_epochs "
            "or trainer.max_steps."
        )
    return int(steps)


def steps_of_epoch(trainer: lightning.Trainer) -> int:
    """Optimizer steps of one epoch."""
    batches = trainer.num_training_batches
    return max(math.ceil(batches / trainer.accumulate_grad_batches), 1)


def recipe_steps(task: Task) -> int:
    """Optimizer steps of the training that the recipe is for: without the epochs of `extend`.

    Of these what goes by a share of the training is a share; it stays then as it has ended.
    """
    steps, schedule = total_steps(task.trainer), task.schedule
    if isinstance(schedule, Extended):
        return schedule.recipe_steps(steps, steps_of_epoch(task.trainer))
    return steps
