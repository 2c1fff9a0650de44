"""Metrics of a class per pixel, from counts that do not care how the images were split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Integer
from torch import Tensor

from vit.runs.distributed import sum_over_ranks

PIXELS_AT_ONCE = 1 << 20
MOST_SHOWN_CLASSES = 200  # a larger matrix is nothing to read


class SemanticMetrics:
    """Mean IoU and pixel accuracy of one evaluation, exact whatever the batches and ranks.

    All comes from one confusion matrix of pixels, int64, kept on the device. Pixels whose target
    is `ignore_index` count nowhere. `miou` is the mean over the classes that occur or are
    predicted; a class that does neither has no IoU.

    Source: Everingham et al. 2015, doi:10.1007/s11263-014-0733-5 (IoU over all pixels of a set,
    not the mean of images' IoUs).
    """

    names = ("miou", "pixel_accuracy")

    def __init__(self, class_names: Sequence[str], ignore_index: int = 255):
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        if 0 <= ignore_index < self.num_classes:
            raise ValueError(
                f"ignore_index={ignore_index} is one of the {self.num_classes} classes; wanted a "
                "number that no class has."
            )
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        # [classes * classes + 2], rows are the truth; then pixels ignored and pixels of no class.
        self._pixels: Tensor | None = None
        self._matrix: Tensor | None = None

    def update(
        self,
        predicted: Integer[Tensor, "*batch height width"],
        targets: Integer[Tensor, "*batch height width"],
    ) -> None:
        """Adds the class numbers of a picture, or several, without waiting for the device.

        Raises ValueError where the two are not of one shape.
        """
        if predicted.shape != targets.shape:
            raise ValueError(
                f"predictions of shape {tuple(predicted.shape)} for targets of "
                f"{tuple(targets.shape)}; wanted the same."
            )
        if self._pixels is None:
            self._pixels = self._none(predicted.device)
        # A part at a time: of a large picture all 64-bit numbers at once would be much.
        parts = (each.flatten().split(PIXELS_AT_ONCE) for each in (predicted, targets))
        for answers, truth in zip(*parts, strict=True):
            self._add(answers, truth)

    def _add(
        self, predicted: Integer[Tensor, " pixels"], targets: Integer[Tensor, " pixels"]
    ) -> None:
        assert self._pixels is not None
        classes = self.num_classes
        ignored = targets == self.ignore_index
        inside = (targets >= 0) & (targets < classes) & (predicted >= 0) & (predicted < classes)
        cell = torch.where(inside, targets.long() * classes + predicted.long(), classes**2 + 1)
        cell = torch.where(ignored, classes**2, cell)
        one = torch.ones((), dtype=torch.int64, device=cell.device)
        self._pixels.index_add_(0, cell, one.expand_as(cell))

    def compute(self, device: torch.device) -> dict[str, float]:
        """`miou` and `pixel_accuracy` over all ranks, NaN where no pixel counts.

        Every rank must call it, once per evaluation. Raises ValueError, on every rank, where a
        pixel had a class that there is not.
        """
        if self._pixels is None:  # this rank had no images; it still takes part in the sum
            self._pixels = self._none(device)
        pixels = sum_over_ranks(self._pixels).cpu()
        classes = self.num_classes
        if int(pixels[-1]):
            raise ValueError(
                f"{int(pixels[-1])} pixels have a target or a prediction that is no class; wanted "
                f"0 to {classes - 1}, or {self.ignore_index} in targets that are to be ignored."
            )
        self._matrix = pixels[: classes**2].view(classes, classes)
        measured = [iou for iou in self._ious() if iou is not None]
        total, right = int(self._matrix.sum()), int(self._matrix.trace())
        return {
            "miou": sum(measured) / len(measured) if measured else math.nan,
            "pixel_accuracy": right / total if total else math.nan,
        }

    def tables(self) -> dict[str, list]:
        """What one number hides, after `compute`: plain lists in the order of the classes.

        `class_accuracy` is the share of a class's pixels that were found. `confusion`, of pixels,
        has the true classes as rows. None stands where there is nothing to measure.
        """
        if self._matrix is None:
            return {}
        right, pixels = self._matrix.diagonal().tolist(), self._matrix.sum(dim=1).tolist()
        tables: dict[str, list] = {
            "classes": list(self.class_names),
            "pixels": pixels,
            "class_iou": self._ious(),
            "class_accuracy": [r / n if n else None for r, n in zip(right, pixels, strict=True)],
        }
        if self.num_classes <= MOST_SHOWN_CLASSES:
            tables["confusion"] = self._matrix.tolist()
        return tables

    def _ious(self) -> list[float | None]:
        assert self._matrix is not None
        both = self._matrix.diagonal()
        either = self._matrix.sum(dim=0) + self._matrix.sum(dim=1) - both
        return [b / e if e else None for b, e in zip(both.tolist(), either.tolist(), strict=True)]

    def _none(self, device: torch.device) -> Tensor:
        return torch.zeros(self.num_classes**2 + 2, dtype=torch.int64, device=device)
