"""Metrics of one label per image, from counts and sums that do not care how images were split."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vit.runs.distributed import sum_dtype, sum_over_ranks

BINS = 15  # of the calibration error, as in Guo et al. 2017
MOST_CONFUSION_CLASSES = 1024  # a matrix of 8 MiB; more classes go without
MOST_SHOWN_CLASSES = 200  # a larger matrix is nothing to read; the worst pairs are listed instead
WORST_PAIRS = 20


class ClassificationMetrics:
    """Accuracy, top-5, macro-F1, loss and calibration of one evaluation, each image counted once.

    Counts are exact whatever the batches and ranks; sums of losses and confidences are kept in
    float64 (float32 where the device has no other), so their last bits alone depend on the split.
    """

    def __init__(self, class_names: tuple[str, ...]):
        self.class_names = class_names
        self.num_classes = len(class_names)
        self.reset()

    @property
    def names(self) -> tuple[str, ...]:
        """What `compute` tells."""
        top5 = ("top5",) if self.num_classes > 5 else ()
        return ("accuracy", *top5, "macro_f1", "loss", "ece", "overconfidence")

    def reset(self) -> None:
        self._sums: Tensor | None = None  # loss, correct, correct in five
        self._bins: Tensor | None = None  # [BINS, 3]: images, correct, sum of confidence
        self._classes: Tensor | None = None  # [classes, 3]: images, correct, predicted
        self._confusion: Tensor | None = None  # [classes * classes], rows are the truth

    def update(
        self,
        logits: Float[Tensor, "batch classes"],
        probabilities: Float[Tensor, "batch classes"],
        targets: Int[Tensor, " batch"],
        losses: Float[Tensor, " batch"],
    ) -> None:
        """Adds a batch without waiting for the device.

        Of equal logits the lowest class is the prediction, so that the result does not depend on
        a library's way of sorting.
        """
        if self._sums is None:
            self._begin(logits.device)
        assert self._sums is not None and self._bins is not None and self._classes is not None
        dtype = self._sums.dtype
        predicted = logits.argmax(dim=-1)  # the first of equal ones
        correct = predicted == targets
        sums = [losses.to(dtype).sum(), correct.sum(), _within(logits, targets, 5).sum()]
        self._sums += torch.stack([value.to(dtype) for value in sums])
        confidences = probabilities.float().amax(dim=-1)
        edges = torch.arange(BINS + 1, device=logits.device) / BINS
        bins = (torch.bucketize(confidences, edges) - 1).clamp_(0, BINS - 1)
        rows = torch.stack([torch.ones_like(confidences), correct, confidences], dim=1).to(dtype)
        # A product instead of index_add, whose order of adding varies on GPUs.
        inside = bins[:, None] == torch.arange(BINS, device=bins.device)  # [batch, BINS]
        self._bins += inside.to(dtype).T @ rows
        ones, none = torch.ones_like(targets), torch.zeros_like(targets)
        self._classes.index_add_(0, targets, torch.stack([ones, correct.long(), none], 1))
        self._classes.index_add_(0, predicted, torch.stack([none, none, ones], 1))
        if self._confusion is not None:
            at = targets * self.num_classes + predicted
            self._confusion.index_add_(0, at, torch.ones_like(at))

    def _begin(self, device: torch.device) -> None:
        dtype = sum_dtype(device)
        self._sums = torch.zeros(3, dtype=dtype, device=device)
        self._bins = torch.zeros(BINS, 3, dtype=dtype, device=device)
        self._classes = torch.zeros(self.num_classes, 3, dtype=torch.int64, device=device)
        if self.num_classes <= MOST_CONFUSION_CLASSES:
            cells = self.num_classes**2
            self._confusion = torch.zeros(cells, dtype=torch.int64, device=device)

    def compute(self, device: torch.device) -> dict[str, float]:
        """The metrics over all ranks; every rank must call it, and once per evaluation.

        Source of `ece`: Guo et al. 2017, arXiv:1706.04599, with 15 equal bins, open below and
        closed above. `overconfidence` is mean confidence − accuracy: the calibration error's sign.
        `macro_f1` is the mean F1 of the classes that have images or were predicted, as in
        scikit-learn.
        """
        if self._sums is None:  # this rank had no images; it still takes part in the sums
            self._begin(device)
        for values in (self._sums, self._bins, self._classes, self._confusion):
            if values is not None:
                sum_over_ranks(values)
        assert self._sums is not None and self._bins is not None and self._classes is not None
        images = int(self._classes[:, 0].sum())
        loss, correct, within_five = (self._sums.cpu().double() / max(images, 1)).tolist()
        gaps = (self._bins[:, 2] - self._bins[:, 1]).cpu().double() / max(images, 1)
        found = {
            "accuracy": correct,
            "top5": within_five,
            "macro_f1": self._macro_f1(),
            "loss": loss,
            "ece": gaps.abs().sum().item(),
            "overconfidence": gaps.sum().item(),
        }
        return {name: found[name] if images else float("nan") for name in self.names}

    def _macro_f1(self) -> float:
        assert self._classes is not None
        images, correct, predicted = self._classes.cpu().double().T
        met = images + predicted > 0
        return (2 * correct / (images + predicted))[met].mean().item()

    def tables(self) -> dict[str, list]:
        """What one number hides, after `compute`: plain lists in the order of the classes.

        `confusion` has the true classes as rows. `most_confused` are [true, predicted, images].
        A class without images has the accuracy None.
        """
        if self._classes is None or self._bins is None:
            return {}
        images, correct, _ = self._classes.T.tolist()
        tables: dict[str, list] = {
            "classes": list(self.class_names),
            "images": images,
            "class_accuracy": [c / n if n else None for c, n in zip(correct, images, strict=True)],
            "calibration": [
                {"images": int(n), "accuracy": right / n, "confidence": total / n}
                for n, right, total in self._bins.tolist()
                if n
            ],
        }
        if self._confusion is not None:
            matrix = self._confusion.view(self.num_classes, self.num_classes).cpu()
            tables["most_confused"] = self._worst_pairs(matrix)
            if self.num_classes <= MOST_SHOWN_CLASSES:
                tables["confusion"] = matrix.tolist()
        return tables

    def _worst_pairs(self, matrix: Tensor) -> list[list]:
        wrong = matrix - torch.diag(matrix.diagonal())
        order = wrong.flatten().argsort(descending=True, stable=True)[:WORST_PAIRS].tolist()
        pairs = [divmod(at, self.num_classes) for at in order]
        return [
            [self.class_names[true], self.class_names[guess], int(wrong[true, guess])]
            for true, guess in pairs
            if wrong[true, guess]
        ]


def _within(
    logits: Float[Tensor, "batch classes"], targets: Int[Tensor, " batch"], most: int
) -> Tensor:
    """Whether fewer than `most` classes come before the true one; equal logits in class order."""
    own = logits.gather(1, targets[:, None])  # [batch, 1]
    earlier = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
    before = (logits > own) | ((logits == own) & earlier)
    # A comparison with NaN is false, which would put a broken model's every answer first.
    return (before.sum(dim=1) < most) & ~own[:, 0].isnan()
