"""Metrics of several labels per image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.classification import (
    multilabel_average_precision,
    multilabel_exact_match,
    multilabel_f1_score,
)
from torchmetrics.utilities.distributed import gather_all_tensors

from vit.metrics.ranks import several_ranks

THRESHOLD = 0.5  # from which probability on a label counts as given


class MultilabelMetrics:
    """Mean average precision, F1, exact matches and loss, each image counted once.

    Average precision ranks all images against each other, so every probability is kept until
    `compute`, on the device: 4 bytes per image and class.

    `map` and `f1` are means over the classes that occur in the evaluated images; a class without
    a single example has no precision to speak of. `accuracy` counts an image only where every
    label is right, as scikit-learn's `accuracy_score` does.
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
        known = present.any(dim=0)  # [classes]
        targets = present[:, known].long()
        scores = probabilities[:, known]
        precision = multilabel_average_precision(scores, targets, len(known[known]), average=None)
        f1 = multilabel_f1_score(
            scores, targets, len(known[known]), threshold=THRESHOLD, average=None
        )
        exact = multilabel_exact_match(probabilities, present.long(), count, threshold=THRESHOLD)
        self._tables = {
            "classes": list(self.class_names),
            "images": present.sum(dim=0).tolist(),
            "class_average_precision": _spread(precision, known),
            "class_f1": _spread(f1, known),
        }
        return {
            "accuracy": exact.item(),
            "map": precision.double().mean().item(),
            "f1": f1.double().mean().item(),
            "loss": losses.double().mean().item(),
        }

    def tables(self) -> dict[str, list]:
        """Per class, after `compute`: images with the label, average precision and F1.

        Classes that do not occur have None.
        """
        return self._tables


def _of_all_ranks(values: Tensor) -> Tensor:
    return torch.cat(gather_all_tensors(values)) if several_ranks() else values


def _spread(values: Tensor, known: Tensor) -> list[float | None]:
    found = iter(values.tolist())
    return [next(found) if one else None for one in known.tolist()]
