"""The classification task: one label per image, or several."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vit.facts import Facts
from vit.losses.classification import binary_cross_entropy, cross_entropy
from vit.metrics.classification import ClassificationMetrics
from vit.metrics.multilabel import MultilabelMetrics
from vit.metrics.predictions import PerSample
from vit.runs.mistake_gallery import Album
from vit.runs.predictions import Predictions
from vit.structures import Batch
from vit.tasks.mistakes import Name, Picture, of_classes
from vit.tasks.mixing import Mixing
from vit.tasks.specs.classification import ClassificationSpec, metrics_for
from vit.tasks.task import OptimizerPart, SchedulePart, Task, recipe_steps, total_steps


class Classification(Task):
    """Trains a model to tell which class, or which classes, an image shows.

    Args:
        loss: softmax cross-entropy, or a binary one per class (DeiT-III); "auto" takes the first
            where images have one label and the second where they have several.
        label_smoothing: share of the target that is spread over all classes in training.
        bce_threshold: with the binary loss, shares of a mixed target above it count as 1, as in
            DeiT-III; None keeps the shares.
        mixup, cutmix: alpha of each method's Beta distribution; 0 is off.
        mix_probability: of mixing a batch at all.
        mix_off_fraction: of all steps, at the end, that go without mixing.
        class_weights: a weight per class for the training loss, from the data set; with the
            binary loss it multiplies the loss where the class is present.
        picture, sample_name: an original picture and its name, by split and position.

    Each epoch of evaluation logs `accuracy`, `loss`, `ece` and `overconfidence` (its sign), with
    six classes or more `top5`; with several labels `accuracy` (of exact matches), `map`, `f1` and
    `loss`. That loss is the plain one: without smoothing, weights or mixing.

    Raises ValueError for a value out of its range, or a loss that does not fit the data.
    """

    spec = ClassificationSpec
    class_weights: Tensor | None
    metrics: ClassificationMetrics | MultilabelMetrics

    def __init__(
        self,
        model: nn.Module,
        facts: Facts,
        optim: OptimizerPart,
        schedule: SchedulePart,
        seed: int,
        compile: bool = False,
        class_weights: tuple[float, ...] | None = None,
        picture: Picture | None = None,
        sample_name: Name | None = None,
        *,
        loss: Literal["auto", "cross_entropy", "bce"] = "auto",
        label_smoothing: float = 0.0,
        bce_threshold: float | None = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        mix_probability: float = 1.0,
        mix_off_fraction: float = 0.0,
    ):
        super().__init__(model, facts, optim, schedule, seed, compile)
        _require_valid(label_smoothing, mixup, cutmix, mix_probability, mix_off_fraction)
        if bce_threshold is not None and not 0 <= bce_threshold < 1:
            raise ValueError(
                f"task.bce_threshold={bce_threshold}; wanted 0 or more, below 1, or null."
            )
        if loss == "cross_entropy" and facts.multi_label:
            raise ValueError(
                "task.loss=cross_entropy expects one label per image and this data has several; "
                "take task.loss=auto or task.loss=bce."
            )
        self.binary = ClassificationSpec().independent_classes(facts, loss=loss)
        self.label_smoothing = label_smoothing
        self.bce_threshold = bce_threshold
        self.mix_off_fraction = mix_off_fraction
        self.mixing = Mixing(
            facts.num_classes, mixup=mixup, cutmix=cutmix, probability=mix_probability, seed=seed
        )
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.metrics = metrics_for(facts)
        self.per_sample = None if facts.multi_label else PerSample()
        self._picture, self._name = picture, sample_name

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        return self.model(images)

    def on_train_start(self) -> None:
        off = self.mix_off_fraction
        self._mix_steps = total_steps(self.trainer)
        if off:  # and off it stays in the epochs that are added
            self._mix_steps = round((1 - off) * recipe_steps(self))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = self._mixed(batch, batch_idx)
        logits = self.model(images)
        loss = self.training_loss(logits, targets)
        self.record(
            {"train/loss": loss, "train/accuracy": self._accuracy(logits, targets)},
            len(batch),
            batch.index[: len(batch)],
        )
        return loss

    def training_loss(
        self,
        logits: Float[Tensor, "batch classes"],
        targets: Int[Tensor, " batch"] | Float[Tensor, "batch classes"],
    ) -> Float[Tensor, ""]:
        """What is minimised: the mean over the images."""
        if self.binary:
            losses = binary_cross_entropy(
                logits,
                targets,
                label_smoothing=self.label_smoothing,
                threshold=self.bce_threshold,
                positive_weights=self.class_weights,
            )
        else:
            losses = cross_entropy(
                logits,
                targets,
                label_smoothing=self.label_smoothing,
                class_weights=self.class_weights,
            )
        return losses.mean()

    def probabilities(
        self, logits: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, "batch classes"]:
        """What the model was trained to mean: a softmax, or with the binary loss a sigmoid each."""
        return logits.float().sigmoid() if self.binary else logits.float().softmax(dim=-1)

    def predict_step(self, batch: Batch, batch_idx: int) -> Float[Tensor, "batch classes"]:
        return self.probabilities(self.model(batch.images))

    def reset_metrics(self) -> None:
        self.metrics.reset()
        if self.per_sample:
            self.per_sample.reset()

    def update_metrics(self, batch: Batch, split: str) -> None:
        logits = self.model(batch.images).float()
        losses = (binary_cross_entropy if self.binary else cross_entropy)(logits, batch.targets)
        probabilities = self.probabilities(logits)
        self.metrics.update(logits, probabilities, batch.targets, losses)
        if self.per_sample:
            self.per_sample.update(batch.index, logits, probabilities, batch.targets)

    def compute_metrics(self, split: str) -> dict[str, float]:
        if self.per_sample:
            self.per_sample.compute()
        return self.metrics.compute(self.device)

    @property
    def mixes(self) -> bool:
        return bool(self.mixing.alphas)

    def tables(self) -> dict[str, list]:
        return self.metrics.tables()

    def predictions(self, split: str) -> Predictions | None:
        return self.per_sample.collected(split, self._name) if self.per_sample else None

    def mistakes(self, split: str, most: int) -> Album | None:
        found = self.per_sample.collected(split) if self.per_sample else None
        if found is None or self._picture is None or self._name is None:
            return None
        names = self.facts.class_names
        return of_classes(found, names, split, self._picture, self._name, most)

    def _mixed(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        if self.global_step >= self._mix_steps:
            own = batch.without_borrowed()
            return own.images, own.targets
        step = batch_idx // self.trainer.accumulate_grad_batches
        return self.mixing(batch, self.current_epoch, step)

    def _accuracy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The share of images classified right; of a mixed image, by what it shows most of."""
        if self.facts.multi_label:
            return ((logits.detach() > 0) == (targets > 0.5)).all(dim=-1).float().mean()
        labels = targets.argmax(dim=-1) if targets.ndim == 2 else targets
        return (logits.detach().argmax(dim=-1) == labels).float().mean()


def _require_valid(
    label_smoothing: float,
    mixup: float,
    cutmix: float,
    mix_probability: float,
    mix_off_fraction: float,
) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"task.label_smoothing={label_smoothing}; wanted 0 or more, below 1.")
    for key, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"task.{key}={alpha}; wanted an alpha above 0, or 0 to leave it out.")
    for key, part in (("mix_probability", mix_probability), ("mix_off_fraction", mix_off_fraction)):
        if not 0 <= part <= 1:
            raise ValueError(f"task.{key}={part}; wanted a fraction, 0 to 1.")
