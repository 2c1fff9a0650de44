"""What every task shares: optimizer and schedule, cheap recording, the facts in the checkpoint."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim.lr_scheduler import LambdaLR

from vit.facts import AnyFacts
from vit.metrics.ranks import sum_dtype
from vit.metrics.running import FirstBad, RunningMeans
from vit.runs.album import Album
from vit.runs.predictions import Predictions


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
    """A model in training. A kind of task adds its steps and its metrics.

    With `compile`, torch.compile wraps the model's forward and nothing else; the keys of the
    state dict stay those of the plain model.

    `counted` says of the metrics whose counting has changed since there is vit how they are counted
    (vit/runs/counted.py). It travels in the checkpoint, so that a run begun otherwise is known.
    """

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
        self._running = RunningMeans()
        if compile:
            self.model.compile()  # in place: a wrapping module would rename every parameter

    @classmethod
    def model_of(cls, backbone: Any, head: Callable[..., Any], facts: Any) -> Any:
        """The model that this task trains; `head` builds its head from what is given here."""
        raise NotImplementedError

    @classmethod
    def given_by(cls, data: Any) -> dict[str, Any]:
        """What the task is told by its data, as keywords of its own.

        Raises Misfit where the data are of another kind.
        """
        return {}

    @classmethod
    def output_fault(cls, output: Any, images: int, data: Any) -> str | None:
        """What is wrong with a model's answer to so many images, by its shape; None if nothing."""
        return None

    @classmethod
    def oddities(cls, data: Any, output: Any) -> list[str]:
        """What the check is to warn of, from the data and the model's answer to two images."""
        return data.warnings()

    @classmethod
    def made_up_loss(cls, output: Any) -> Tensor:
        """A loss for images that nobody knows anything of: to measure what a step takes."""
        raise NotImplementedError

    @classmethod
    def predicted(cls, trained: Any, images: Sequence[Any]) -> list[dict[str, Any]]:
        """What a trained run (vit/trained.py) says of each image or text, as plain values."""
        raise NotImplementedError

    def shown(self) -> tuple[tuple[str, str], ...]:
        """What a person watches while it trains: words, and the metric that they stand for."""
        return (("loss", "train/loss"), ("val loss", "val/loss"))

    def begin_evaluation(self) -> None:
        """Forgets the evaluation before."""
        raise NotImplementedError

    def evaluate(self, batch: Any, split: str) -> None:
        """Looks at a batch of a split."""
        raise NotImplementedError

    def evaluated(self, split: str) -> dict[str, float]:
        """What was found since `begin_evaluation`, the same on every rank; all must call it."""
        raise NotImplementedError

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, self.tested)

    def on_validation_epoch_start(self) -> None:
        self.begin_evaluation()

    def on_test_epoch_start(self) -> None:
        self.begin_evaluation()

    def on_validation_epoch_end(self) -> None:
        self._log("val", self.evaluated("val"))

    def on_test_epoch_end(self) -> None:
        self._log("test", self.evaluated(self.tested))

    def _log(self, named: str, found: Mapping[str, float]) -> None:
        dtype = sum_dtype(self.device)  # Lightning would round plain floats to float32
        self.log_dict(
            {
                f"{named}/{name}": torch.tensor(value, dtype=dtype, device=self.device)
                for name, value in found.items()
            },
            # The record callback writes validation where it belongs on the x axis; but what
            # `trainer.test` returns is what loggers get.
            logger=None if named == "test" else False,
            # All ranks have the same value already; of equal ones the largest is exact.
            reduce_fx="max",
            sync_dist=True,
        )

    @abstractmethod
    def monitors(self) -> tuple[str, ...]:
        """The names that each validation logs, and that a checkpoint may therefore follow."""

    @abstractmethod
    def tables(self) -> dict[str, list]:
        """What the last evaluation found beyond single numbers, as plain lists."""

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

    @property
    def mixes(self) -> bool:
        """Whether training mixes neighbouring images, so that slices want one lent to them."""
        return False

    def configure_model(self) -> None:
        """Where the strategy shards, gives each device its part of the weights (FSDP2)."""
        mesh = getattr(self.trainer.strategy, "device_mesh", None)
        if mesh is None or isinstance(self.model, FSDPModule):
            return
        told = getattr(self.model, "shards", None)  # any torch module may be trained
        for block in told() if callable(told) else []:
            fully_shard(block, mesh=mesh["data_parallel"])
        fully_shard(self.model, mesh=mesh["data_parallel"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.optim.build(self.model)
        total_steps = self.total_steps
        self.trainer.fit_loop.setup_data()  # else nothing is known where only max_steps is set
        batches = self.trainer.num_training_batches
        steps_per_epoch = max(math.ceil(batches / self.trainer.accumulate_grad_batches), 1)

        # A function, not an object: a scheduler saves the attributes of objects.
        def scale(step: int) -> float:
            return self.schedule.scale(step, total_steps, steps_per_epoch)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, scale), "interval": "step"},
        }

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training.

        Raises ValueError where no end is set, since a schedule could not know where it is.
        """
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError(
                "the training has no end that the schedule could aim at: set trainer.max_epochs "
                "or trainer.max_steps."
            )
        return int(steps)

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
        self._running.add(metrics, weight, self.global_step, index)

    def peek(self) -> dict[str, float]:
        """This process's means since the last flush, for a progress bar; waits for the device."""
        return self._running.peek()

    def flush(self) -> dict[str, float]:
        """The means over all ranks since the last flush, which are then forgotten.

        Waits for the device once. With several ranks all must call it at the same step.
        """
        return self._running.flush(self.device)

    def recorded(self) -> dict[str, list[float]]:
        """What was recorded since the last flush, as plain values for a checkpoint."""
        return self._running.state()

    def go_on_recording(self, recorded: Mapping[str, list[float]]) -> None:
        """Goes on from what `recorded` returned, in the same process of a resumed run."""
        self._running.restore(recorded)

    def first_bad(self) -> FirstBad | None:
        """The first step since the last flush, or within it, whose metrics were not finite.

        `step` counts the optimizer steps done before it; `indices` tell the images of its batch.
        Waits for the device once. With several ranks all must call it at the same step, and all
        get the same answer.
        """
        return self._running.first_bad(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["facts"] = dataclasses.asdict(self.facts)
        if self.counted:
            checkpoint["counted"] = dict(self.counted)
