"""What each step saw and gave, in a few numbers: they show where two runs part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.distributed.tensor import DTensor

from vit.callbacks.hashing import pixels_hash, samples_hash, weights_hash
from vit.runs.distributed import sum_dtype
from vit.runs.fingerprints import line_of, lines_file
from vit.runs.record import append_lines

INTEGERS = ("samples", "pixels", "weights")
FLOATS = ("loss", "gradient_norm")


class Seen(NamedTuple):
    """One step, its values still on the device."""

    step: int
    epoch: int
    images: int
    values: dict[str, Tensor]


class Fingerprints(Callback):
    """Writes a line for each optimizer step; see vit/runs/fingerprints for what is in it.

    Pixels are those of the batch as the loader gives it, on the device: mixup and cutmix, which
    follow from seed, epoch and position, show in the loss. The norm is that of the gradients
    before clipping. Every process writes a file of its own, so nothing is exchanged; but where
    weights lie in shards, norm and weights are put together from all.

    Waits for the device every `trainer.log_every_n_steps` steps and before a checkpoint, when
    the lines are written: what a checkpoint holds is on disk before it.
    """

    def __init__(self, folder: Path, weights_every: int):
        self._folder = folder
        self._weights_every = weights_every
        self._file = Path()
        self._world_size = 1
        self._step = 0
        self._seen: list[Seen] = []
        self._images = 0  # of this step so far
        self._values: dict[str, Tensor] = {}
        self._restored: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._file = lines_file(self._folder, trainer.global_rank)
        self._world_size = trainer.world_size
        self._step = trainer.global_step
        self._images, self._values = 0, {}
        if self._restored is not None:
            self._images = self._restored["images"]
            self._values = {
                name: value.to(pl_module.device) for name, value in self._restored["values"].items()
            }
            self._restored = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch)
        own = batch.without_borrowed()  # what another slice lent has its place there
        self._add("samples", samples_hash(own.index))
        seen = own.images if hasattr(own, "images") else own.tokens.float()  # exact to 2²⁴
        self._add("pixels", pixels_hash(seen, own.index))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if trainer.is_global_zero or any(isinstance(g, DTensor) for g in gradients):
            self._values["gradient_norm"] = _whole(torch.nn.utils.get_total_norm(gradients))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"].detach()  # a share of the step's
        self._add("loss", loss.to(sum_dtype(loss.device)))
        if trainer.global_step == self._step:
            return
        if trainer.global_step % self._weights_every == 0:
            weights = list(pl_module.parameters())
            if trainer.is_global_zero or any(isinstance(w, DTensor) for w in weights):
                self._values["weights"] = weights_hash(map(_whole, weights))
        self._seen.append(Seen(self._step, trainer.current_epoch, self._images, self._values))
        self._step, self._images, self._values = trainer.global_step, 0, {}
        if len(self._seen) >= trainer.log_every_n_steps:  # type: ignore[attr-defined]
            self._flush()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._flush()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        try:
            self._flush()
        except RuntimeError:  # a device that has failed tells nothing more
            self._seen = []

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        self._flush()
        if self._images:  # of one process only: several stop between steps
            checkpoint["fingerprints"] = {
                "images": self._images,
                "values": {name: value.cpu() for name, value in self._values.items()},
            }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._restored = checkpoint.get("fingerprints")

    def _add(self, name: str, value: Tensor) -> None:
        self._values[name] = self._values[name] + value if name in self._values else value

    def _flush(self) -> None:
        """The one place that waits for the device."""
        integers = _taken(self._seen, INTEGERS)
        floats = _taken(self._seen, FLOATS)
        lines = [
            line_of(seen.step, seen.epoch, self._world_size, seen.images, integer | floating)
            for seen, integer, floating in zip(self._seen, integers, floats, strict=True)
        ]
        if lines:
            append_lines(self._file, lines)
        self._seen = []


def _taken(seen: Sequence[Seen], names: Sequence[str]) -> list[dict[str, Any]]:
    """The values of these names, which are of one kind, brought over in one go."""
    there = [(at, name) for at, one in enumerate(seen) for name in names if name in one.values]
    taken: list[dict[str, Any]] = [{} for _ in seen]
    if there:
        values = torch.stack([seen[at].values[name].flatten()[0] for at, name in there])
        for (at, name), value in zip(there, values.tolist(), strict=True):
            taken[at][name] = value
    return taken


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value
