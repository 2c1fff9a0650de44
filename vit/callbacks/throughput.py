"""How fast a training goes, and how much of the device it uses."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from vit.callbacks.device import peak_flops, peak_memory
from vit.runs.distributed import largest_of_ranks

TRAINING_COST = 3  # forward, and backward through inputs and weights


class Counters(NamedTuple):
    """What was done so far: images of all devices, micro-batches, seconds, seconds of waiting."""

    images: int = 0
    batches: int = 0
    seconds: float = 0.0
    waited: float = 0.0


class Throughput(Callback):
    """Counts images and seconds of training; validation and checkpoints do not count.

    Asks the device nothing, so on a GPU the figures are right only over a stretch that ends with
    something that waits for it, as a flush of the metrics does. "Waiting" is the time from the
    end of one batch to the start of the next, which is fetching it and sending it to the device;
    less what other callbacks did before they read the counters.
    """

    def __init__(self) -> None:
        self._images = 0
        self._batches = 0
        self._seconds = 0.0
        self._waited = 0.0
        self._ended: float | None = None
        self._started = 0.0
        self._flops_per_image: int | None = None
        self._pixels: tuple[int, int] | None = None
        self._peak: float | None = None
        self._world_size = 1
        self._accumulate = 1
        self._device = torch.device("cpu")

    @property
    def counters(self) -> Counters:
        """What was done up to now; time since the last batch counts as work, not as waiting."""
        if self._ended is not None:
            now = perf_counter()
            self._seconds += now - self._ended
            self._ended = now
        return Counters(self._images, self._batches, self._seconds, self._waited)

    def since(self, earlier: Counters) -> dict[str, float]:
        """images_per_second, step_seconds, data_wait (a share of the time) and, where the model
        and the device tell enough, mfu: model FLOPs over the device's peak in this precision."""
        images, batches, seconds, waited = (
            now - then for now, then in zip(self.counters, earlier, strict=True)
        )
        if not batches or seconds <= 0:
            return {}
        timing = {
            "images_per_second": images / seconds,
            "step_seconds": seconds / batches * self._accumulate,
            "data_wait": waited / seconds,
        }
        if self._flops_per_image and self._peak:
            done = images / seconds * self._flops_per_image * TRAINING_COST
            timing["mfu"] = done / (self._peak * self._world_size)
        return timing

    def memory(self) -> dict[str, float]:
        """peak_memory_mb: of the process that held the most, since it began (10⁶ bytes).

        On a GPU what its tensors took, else what the whole process had resident. Every rank must
        call it at the same step.
        """
        held = peak_memory(self._device)
        most = largest_of_ranks(float(held or 0), self._device)
        return {"peak_memory_mb": most / 1e6} if most else {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._world_size = trainer.world_size
        self._accumulate = trainer.accumulate_grad_batches
        self._device = pl_module.device
        self._peak = peak_flops(pl_module.device, str(trainer.precision))
        self._ended = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._started = perf_counter()
        if self._ended is not None:
            self._waited += self._started - self._ended
            self._seconds += self._started - self._ended
            self._ended = None
        if self._peak and self._flops_per_image is None:
            size_of = getattr(batch, "input_size", lambda: batch.images.shape[-2:])
            model: Any = pl_module.model
            self._flops_per_image = model.flops(*size_of()) if hasattr(model, "flops") else 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._ended = perf_counter()
        self._seconds += self._ended - self._started
        self._images += len(batch) * self._world_size
        self._batches += 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._ended = None
