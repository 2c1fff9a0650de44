"""During training: how well the frozen backbone of this moment tells the classes of val apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from vit.callbacks.hanging import Hanging
from vit.callbacks.heartbeat import Heartbeat
from vit.data.kinds.classification import ClassificationData
from vit.faults import Fault, Refused
from vit.probes import linear
from vit.probes.collecting import Vectors, collected, of_all_ranks
from vit.probes.neighbours import nearest_classes
from vit.probes.probing import Grid, probe
from vit.probes.vectors import parts_of, usual_pool, vectors
from vit.runs.distributed import sum_over_ranks

NAMES = ("knn_accuracy", "linear_accuracy")


class Probing(Callback):
    """Every few epochs, after a validation: `val/knn_accuracy`, and with `linear` also
    `val/linear_accuracy`.

    The features are those of the weights that validation sees, of all training images and of val,
    none of them augmented; kNN's bank is train. The linear classifiers' rate is chosen on a tenth
    of train that is held out. Nothing is drawn from the generators of the training, which goes on
    as without. With several processes each computes the features of its share.

    Raises Refused where the data are no images with a class each.
    """

    def __init__(self, data: Any, every: int, neighbours: int, linear: bool):
        if fault := probing_fault(data):
            raise Refused([fault])
        self._data, self._every, self._neighbours, self._linear = data, every, neighbours, linear

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name in NAMES:  # Lightning keeps those of an earlier one, to be written down again
            trainer.callback_metrics.pop(f"val/{name}", None)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if not self.is_due(trainer):
            return
        task: Any = pl_module
        found = self._measured(trainer, task)
        for name, value in found.items():
            # All ranks have the same already; of equal ones the largest is exact.
            exact = torch.tensor(value, dtype=torch.float32, device=task.device)
            task.log(f"val/{name}", exact, logger=False, reduce_fx="max", sync_dist=True)

    def is_due(self, trainer: Trainer) -> bool:
        """Whether this validation, the last of its epoch, is the first after so many more epochs,
        or the last of all: a function of the place in the training, as a resumed run needs it."""
        left = trainer.num_training_batches - trainer.fit_loop.batch_idx - 1
        every = trainer.val_check_batch
        if every is not None and left >= every:  # another one follows in this epoch
            return False
        done = trainer.current_epoch + 1
        before = done - (trainer.check_val_every_n_epoch or 1)
        return done // self._every > before // self._every or done == trainer.max_epochs

    def _measured(self, trainer: Trainer, task: Any) -> dict[str, float]:
        backbone, head = task.model.backbone, getattr(task.model, "head", None)
        pool = usual_pool(backbone, head)
        names = parts_of(pool, 1)
        # A pass over train may take longer than a training is given to show that it is alive.
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        signs = [each for each in callbacks if isinstance(each, Heartbeat | Hanging)]

        def encode(images: Tensor) -> dict[str, Tensor]:
            return encoded(task.model, trainer.precision_plugin.convert_input(images), names, head)

        def alive(batch: Any, number: int) -> None:
            for each in signs:
                each.on_validation_batch_end(trainer, task, None, batch, number)

        def of(split: str) -> Vectors:
            ranks = {"rank": trainer.global_rank, "world_size": trainer.world_size}
            batches = self._data.still_loader(split, **ranks)
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                return collected(encode, batches, task.device, after=alive)

        place = task.device
        train, own = of_all_ranks(of("train"), place).to(place), of("val")
        found = {"knn_accuracy": self._knn(train, own.to(place), names[0])}
        if self._linear:
            every = of_all_ranks(own, place)
            found["linear_accuracy"] = self._of_linear(trainer, train, every, pool)
        return found

    def _knn(self, train: Vectors, val: Vectors, name: str) -> float:
        """Each process asks for its share of val; the counts are those of all."""
        count = min(self._neighbours, len(train))
        classes = self._data.facts.num_classes
        seen = train.by_name[name]
        guessed = nearest_classes(val.by_name[name], seen, train.labels, classes, (count,))[count]
        counts = torch.stack([(guessed == val.labels).sum(), val.labels.new_tensor(len(val))])
        right, every = sum_over_ranks(counts).tolist()
        return right / every

    def _of_linear(self, trainer: Trainer, train: Vectors, val: Vectors, pool: Any) -> float:
        """Trained by the first process, which tells the others."""
        told = torch.zeros(1, device=train.labels.device)
        if trainer.is_global_zero:
            grid = Grid(pool, (pool,), readers=("linear",), rates=linear.RATES)
            (best,) = probe(train, {"val": val.to(told.device)}, self._data.facts.class_names, grid)
            told += best.splits["val"]["accuracy"]
        return sum_over_ranks(told).item()


def probing_fault(data: Any) -> Fault | None:
    """Why such data cannot be probed during training; None where they can."""
    where = "watch.probe_every"
    if not isinstance(data, ClassificationData):
        message = f"is for images that have a class each; {type(data).__name__} has other targets"
        return Fault(where, f"{message}. Set it to 0")
    facts = data.facts
    if not facts.class_names or facts.multi_label:
        has = "several labels an image" if facts.multi_label else "no labels"
        return Fault(where, f"is for images that have a class each; these have {has}. Set it to 0")
    return None


def encoded(model: Any, images: Tensor, names: Sequence[str], head: Any) -> dict[str, Tensor]:
    """The vectors of these names of a model in training.

    Where its weights lie in shards, they are together only while the whole model is passed through.
    """
    sharded = isinstance(model, FSDPModule)
    if not sharded:
        return vectors(model.backbone, images, names, head)
    found: dict[str, Tensor] = {}

    def keep(module: nn.Module, given: Any, answer: Any) -> None:
        found.update(vectors(lambda _: answer, images, names, head))

    handle = model.backbone.register_forward_hook(keep)
    try:
        model(images)
    finally:
        handle.remove()
    return found
