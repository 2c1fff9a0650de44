"""A training that was cut off goes on as if nothing had happened."""

from __future__ import annotations

import logging
import random
import warnings
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

log = logging.getLogger("vit")


@runtime_checkable
class PositionedSampler(Protocol):
    """A batch sampler whose next iterator can begin anywhere."""

    def start(self, epoch: int, start_batch: int = 0) -> None: ...


class ExactResume(Callback):
    """Tells the training sampler where each epoch starts, and keeps what a resumed run needs.

    A checkpoint then holds the position in the epoch, gradients that were still being accumulated,
    and of each process the states of its random generators and the metrics not yet written.
    Resumed in as many processes, the run ends with the same weights and metrics, bit for bit, as
    one that was never cut off.

    `sampler` is the training loader's batch sampler. It is given its position when the checkpoint
    is read, since Lightning makes the first iterator (whose workers start at once) before any
    other hook; see Lightning issue 21938. A strategy that shards reads the checkpoint later than
    that, so there the position is looked up in `checkpoint` first: the file to go on from, if any.
    """

    def __init__(self, sampler: PositionedSampler, checkpoint: Path | None = None):
        self._sampler = sampler
        self._checkpoint = checkpoint
        self._epoch = 0
        self._next_batch = 0
        self._restored: dict[str, Any] | None = None
        self._one_order = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # The same few batches in each epoch.
        self._one_order = bool(trainer.overfit_batches)  # type: ignore[attr-defined]
        if stage != "fit":
            return
        self._place(0, 0)
        if self._checkpoint is not None and trainer.strategy.restore_checkpoint_after_setup:
            saved = torch.load(self._checkpoint, map_location="cpu", weights_only=True, mmap=True)
            self._place(saved["exact_resume"]["epoch"], saved["exact_resume"]["next_batch"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(trainer.current_epoch, 0)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._next_batch = batch_idx + 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch, self._next_batch = trainer.current_epoch + 1, 0

    def _place(self, epoch: int, batch: int) -> None:
        self._epoch, self._next_batch = epoch, batch
        self._sampler.start(0 if self._one_order else epoch, batch)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        task: Any = pl_module
        state: dict[str, Any] = {
            "epoch": self._epoch,
            "next_batch": self._next_batch,
            "processes": _of_all_processes(
                {"random": random_states(task.device), "recorded": task.running.state()}
            ),
        }
        if self._next_batch % trainer.accumulate_grad_batches:
            state["gradients"] = {
                name: p.grad for name, p in pl_module.named_parameters() if p.grad is not None
            }
        checkpoint["exact_resume"] = state

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        state = checkpoint["exact_resume"]
        self._place(state["epoch"], state["next_batch"])
        self._restored = state
        # Lightning cannot know that the sampler goes on where it stopped.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restored is None:
            return
        task: Any = pl_module
        processes = self._restored["processes"]
        if len(processes) == trainer.world_size:
            own = processes[trainer.global_rank]
            restore_random_states(own["random"], task.device)
            task.running.restore(own["recorded"])
        elif trainer.is_global_zero:
            log.warning(
                "saved by %d processes, goes on in %d: the images and their order are the same; "
                "dropout and drop_path, which each process draws by itself, are drawn anew",
                len(processes),
                trainer.world_size,
            )
        gradients = self._restored.get("gradients", {})
        for name, parameter in pl_module.named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter.device)
        self._restored = None


def random_states(device: torch.device) -> dict[str, Any]:
    """Python's, NumPy's and torch's global generators as plain values, safe to load."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, keys.tolist(), int(position), int(has_gauss), float(cached)],  # type: ignore[union-attr,attr-defined]
        "torch": torch.get_rng_state(),
        "device": _device_state(device),
    }


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if states["device"] is None:
        return
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["device"].cpu(), device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["device"].cpu())


def _device_state(device: torch.device) -> torch.Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def _of_all_processes(state: dict[str, Any]) -> list[dict[str, Any]]:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [state]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, state)
    return states
