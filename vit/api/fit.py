"""`vit.fit`: a data set and a model of one's own, trained in this very process."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vit.facts import Facts
from vit.faults import Fault, Refused, did_you_mean
from vit.models.classifier import Classifier, Head
from vit.models.contract import complete
from vit.optim.optimizer import Optim
from vit.optim.schedules import Cosine
from vit.structures import Batch, Features
from vit.tasks.classification import Classification
from vit.tasks.task import OptimizerPart, SchedulePart
from vit.tuning.freezing import Bias, LastBlocks, Tuning, Untunable, thaw
from vit.tuning.freezing import Head as HeadOnly
from vit.tuning.lora import Lora, require_called

TUNINGS = {"head": HeadOnly, "last_blocks": LastBlocks, "bias": Bias, "lora": Lora}


@dataclass
class Fitted:
    """What `vit.fit` gives: the trained model, and what was measured after each epoch."""

    model: nn.Module  # in evaluation mode; adapters of low rank are merged
    curves: list[dict[str, float | int]]  # a mapping an epoch: epoch, train/loss, val/accuracy, …
    task: Classification  # the Lightning module

    @property
    def metrics(self) -> dict[str, float | int]:
        """Those of the last epoch."""
        return self.curves[-1] if self.curves else {}


def fit(
    model: Any,
    train: Any,
    val: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    epochs: int = 10,
    batch_size: int = 64,
    lr: Any = 1e-3,
    optim: OptimizerPart | None = None,
    schedule: SchedulePart | None = None,
    tuning: Any = None,
    seed: Any = 0,
    num_workers: Any = 0,
    trainer: lightning.Trainer | None = None,
    progress: bool = True,
    **settings: Any,
) -> Fitted:
    """Trains a model on data sets of one's own, here and now: no run folder, no config.

    A data set is a torch one with a length, whose samples are an image, a float tensor [channels,
    height, width], and the number of its class. A model takes images to logits [batch, classes],
    or to `vit.structures.Features` as a backbone does; then a linear head over the mean of its
    tokens is added. `class_names` may be left out where `train.classes` has them.

    `optim` and `schedule` are parts of vit.optim, by default AdamW with `lr` and a cosine, whose
    first tenth, or first epoch, is warm-up where no trainer is given; `tuning` is head,
    last_blocks, bias, lora or a part of vit.tuning; `settings`
    those of the task (label_smoothing, mixup, cutmix, …). With a Lightning `trainer` of one's own
    it says epochs and devices. Raises Refused with every fault before anything is trained.

    For what can be interrupted, swept, reviewed and trusted use `vit.train`, with a data set of
    one's own as a part (docs/parts.md).

    >>> fitted = vit.fit(vit.ViT(image_size=32, dim=48, depth=2, heads=3), train, val, epochs=5)
    """
    names = tuple(class_names if class_names is not None else getattr(train, "classes", ()))
    faults = [*_data_faults(train, "train", names), *_data_faults(val, "val", names)]
    if not faults and val is not None and val[0][0].shape != train[0][0].shape:
        sizes = f"{list(val[0][0].shape)} where those of train are {list(train[0][0].shape)}"
        faults.append(Fault("val", f"has images {sizes}; bring them to one size"))
    faults += [
        Fault(name, f"is {value!r}; wanted a whole number from 1 on")
        for name, value in (("epochs", epochs), ("batch_size", batch_size))
        if type(value) is not int or value < 1
    ]
    if not isinstance(tuning, Tuning) and tuning not in (None, "full", *TUNINGS):
        known = ", ".join(("full", *TUNINGS))
        meant = did_you_mean(tuning, TUNINGS) if isinstance(tuning, str) else ""
        message = f"is {tuning!r}; wanted {known}, or a part of vit.tuning such as Lora(rank=4)"
        faults.append(Fault("tuning", f"{message}.{meant}"))
    if type(seed) is not int or seed < 0 or type(num_workers) is not int or num_workers < 0:
        message = f"are {seed!r} and {num_workers!r}; wanted whole numbers from 0 on"
        faults.append(Fault("seed and num_workers", message))
    if not isinstance(lr, int | float) or not lr > 0:
        faults.append(Fault("lr", f"is {lr!r}; wanted a number above 0"))
    if faults:
        raise Refused(faults)
    lightning.seed_everything(seed, verbose=False)
    image: Tensor = train[0][0]
    channels, height, width = image.shape
    grey = (0.5,) * channels
    facts = Facts(len(names), names, (height, width), channels, grey, grey)
    trained = _classifier(model, facts)
    part = TUNINGS[tuning]() if isinstance(tuning, str) and tuning != "full" else tuning
    learned = {name for name, each in trained.named_parameters() if each.requires_grad}
    if isinstance(part, Tuning):
        try:
            part.apply(trained)
            require_called(trained.eval(), facts.example(2))
        except Untunable as error:
            raise Refused([Fault("tuning", str(error))]) from error
    try:
        task = Classification(
            trained,
            facts,
            optim or Optim(lr=lr),
            schedule or Cosine(warmup_epochs=None if trainer else min(1.0, epochs / 10)),
            seed,
            **settings,
        )
    except (TypeError, ValueError) as error:
        raise Refused([Fault("vit.fit", str(error))]) from error
    curves = Curves()
    trainer = trainer or lightning.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        devices=1,
    )
    trainer.callbacks.append(curves)  # type: ignore[attr-defined]
    loaders = [
        None
        if data is None
        else DataLoader(
            Numbered(data, split, len(names)),
            batch_size=batch_size,
            shuffle=split == "train",
            generator=torch.Generator().manual_seed(seed),
            num_workers=num_workers,
            collate_fn=collated,
        )
        for split, data in (("train", train), ("val", val))
    ]
    task.train()  # a model that comes from a training stands in evaluation mode
    with warnings.catch_warnings():
        # Lightning's advice, on workers and on validation that is not there, and its use of torch.
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated", FutureWarning)
        trainer.fit(task, loaders[0], loaders[1])
    if isinstance(part, Tuning):
        part.merge(trained)
        thaw(trained)
        for name, parameter in trained.named_parameters():
            parameter.requires_grad_(name in learned)  # as the model came
    return Fitted(trained.eval(), curves.epochs, task)


class Numbered(Dataset):
    """The samples of a data set with their positions; ValueError, by position, for a bad one."""

    def __init__(self, data: Any, split: str, classes: int):
        self.data, self.split, self.classes = data, split, classes
        self.shape = tuple(data[0][0].shape)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, at: int) -> tuple[Tensor, int, int]:
        image, label = self.data[at]
        label = int(label)
        if not 0 <= label < self.classes:
            raise ValueError(f"{self.split}[{at}] is of class {label} of {self.classes}")
        if tuple(image.shape) != self.shape:
            raise ValueError(
                f"{self.split}[{at}] has the shape {list(image.shape)} and the first one "
                f"{list(self.shape)}; bring all images to one size in the data set"
            )
        return image, label, at


def collated(samples: list[tuple[Tensor, int, int]]) -> Batch:
    """Samples of `Numbered` as the task takes them."""
    images, labels, numbers = zip(*samples, strict=True)
    return Batch(torch.stack(images), torch.tensor(labels), torch.tensor(numbers))


class Curves(lightning.Callback):
    """What was measured after each epoch, as plain numbers."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float | int]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        means = pl_module.running.flush(pl_module.device)
        named = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append({"epoch": trainer.current_epoch, **means, **named})


def _classifier(model: Any, facts: Facts) -> nn.Module:
    """The model itself where it gives logits, or a backbone with a linear head."""
    if not isinstance(model, nn.Module):
        raise Refused([Fault("model", f"is a {type(model).__name__}; wanted a torch.nn.Module")])
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    images = facts.example(2)[0].to(place)
    try:
        with torch.no_grad():
            # A copy: what a model counts while it looks is none of the training's.
            answer = copy.deepcopy(model).eval()(images)
    except (RuntimeError, ValueError, TypeError) as error:
        message = f"does not take images {list(images.shape)}: {str(error).splitlines()[0]}"
        raise Refused([Fault("model", message)]) from error
    if isinstance(answer, Features):
        try:
            backbone = complete(model, facts.for_backbone())
        except ValueError as error:
            raise Refused([Fault("model", str(error))]) from error
        return Classifier(backbone, Head(backbone.dim, facts.num_classes))
    shape = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    if shape != [2, facts.num_classes]:
        message = (
            f"answers two images with {shape}; wanted logits [2, {facts.num_classes}], one for "
            "each class, or vit.structures.Features"
        )
        raise Refused([Fault("model", message)])
    return model


def _data_faults(data: Any, split: str, names: tuple[str, ...]) -> list[Fault]:
    """What is wrong with a data set, by its length and its first sample."""
    if data is None and split == "val":
        return []
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__") or not len(data):
        what = "no samples" if hasattr(data, "__len__") else "no length"
        return [Fault(split, f"has {what}; wanted a torch data set with a length, from 1 on")]
    faults = []
    if split == "train" and len(names) < 2:
        message = f"has {len(names)} names; wanted one for each class, class_names=['cat', 'dog']"
        faults.append(Fault("class_names", message))
    sample = data[0]
    pair = isinstance(sample, tuple | list) and len(sample) == 2
    image = sample[0] if pair else None
    if not (isinstance(image, Tensor) and image.ndim == 3 and image.is_floating_point()):
        what = type(sample).__name__
        if pair:
            what = f"({type(image).__name__}, {type(sample[1]).__name__})"
            if isinstance(image, Tensor):
                what = f"a tensor {list(image.shape)} of {image.dtype}"
        wanted = "(image, label), the image a float tensor [channels, height, width]"
        faults.append(Fault(split, f"its first sample is {what}; wanted {wanted}"))
    return faults
