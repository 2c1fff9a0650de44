"""Metrics of several labels per image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision, binary_f1_score
from torchmetrics.utilities.distributed import gather_all_tensors

from vit.runs.distributed import several_ranks

THRESHOLD = 0.5  # from which probability on a label counts as given


class MultilabelMetrics:
    """Mean average precision, F1, exact matches and loss, each image counted once.

    Average precision ranks all images against each other, so every probability is kept until
    `compute`, on the device: 4 bytes per image and class.

    `map` and `f1` are means over the classes that occur in the evaluated images, NaN where none
    does: a class without a single example has no precision to speak of. `accuracy` counts an
    image only where every label is right, as scikit-learn's `accuracy_score` does.
    """

    def __init__(self, class_names: tuple[str, ...]):
        self.class_names = class_names
        self.reset()

    @property
    def names(self) -> tuple[str, ...]:
        return ("accuracy", "map", "f1", "loss")

    def reset(self) -> None:
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []  # probabilities, targets, losses
        self._tables: dict[str, list] = {}

    def update(
        self,
        logits: Float[Tensor, "batch classes"],
        probabilities: Float[Tensor, "batch classes"],
        targets: Float[Tensor, "batch classes"],
        losses: Float[Tensor, " batch"],
    ) -> None:
        """Adds a batch without waiting for the device; targets above 0.5 are present."""
        self._batches.append((probabilities.float(), targets > 0.5, losses.float()))

    def compute(self, device: torch.device) -> dict[str, float]:
        """The metrics over all ranks; every rank must call it."""
        count = len(self.class_names)
        if not self._batches:  # this rank had no images; it still takes part in the gathering
            nothing = torch.zeros(0, count, device=device)
            self._batches = [(nothing, nothing > 0, nothing[:, 0])]
        columns = zip(*self._batches, strict=True)
        probabilities, present, losses = (_of_all_ranks(torch.cat(column)) for column in columns)
        if not len(losses):
            return dict.fromkeys(self.names, float("nan"))
        precision, f1 = [], []
        for scores, targets in zip(probabilities.T, present.long().T, strict=True):
            occurs = bool(targets.any())
            precision.append(float(binary_average_precision(scores, targets)) if occurs else None)
            f1.append(float(binary_f1_score(scores, targets, THRESHOLD)) if occurs else None)
        self._tables = {
            "classes": list(self.class_names),
            "images": present.sum(dim=0).tolist(),
            "class_average_precision": precision,
            "class_f1": f1,
        }
        exact = ((probabilities > THRESHOLD) == present).all(dim=1).sum().item()
        return {
            "accuracy": exact / len(losses),
            "map": _mean(precision),
            "f1": _mean(f1),
            "loss": losses.double().mean().item(),
        }

    def tables(self) -> dict[str, list]:
        """Per class, after `compute`: images with the label, average precision and F1.

        Classes that do not occur have None.
        """
        return self._tables


def _of_all_ranks(values: Tensor) -> Tensor:
    return torch.cat(gather_all_tensors(values)) if several_ranks() else values


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
