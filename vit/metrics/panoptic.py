"""Panoptic quality, each image counted once, exact whatever the number of processes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from vit.runs.distributed import sum_over_ranks
from vit.structures import PanopticMap

# IoUs are summed as whole numbers of 2^-40: such sums do not depend on their order, and eight
# million segments of a class have room in 63 bits.
UNIT = 1 << 40
MATCHED, MISSED, EXTRA, IOU = range(4)


class PanopticMetrics:
    """PQ, SQ and RQ over all classes, over things and over stuff.

    A segment found matches one of the truth where they are of one class and their IoU exceeds a
    half, pixels that are void in the truth left out. What is found mostly within void, or within
    void and a crowd of its class, counts neither way; crowds are never matched and never missed.
    Pixels found to be nothing are plainly missed. Each number is the mean over the classes that
    have any segment, in the truth or found.

    What is kept is four whole numbers a class, on the CPU, however many images there are.

    Source: Kirillov et al. 2019, arXiv:1801.00868, §4, with the rules for void and crowds of its
    authors' panopticapi.
    """

    names = tuple(
        f"{name}{part}" for part in ("", "_things", "_stuff") for name in ("pq", "sq", "rq")
    )

    def __init__(self, class_names: Sequence[str], is_thing: Sequence[bool]):
        self.class_names = tuple(class_names)
        self.is_thing = tuple(is_thing)
        if len(self.class_names) != len(self.is_thing):
            raise ValueError(
                f"{len(self.class_names)} class names but {len(self.is_thing)} flags that say "
                "which are things; wanted one a class."
            )
        self.reset()

    def reset(self) -> None:
        self._tally = torch.zeros(len(self.class_names), 4, dtype=torch.int64)
        self._total: Tensor | None = None

    def update(self, found: Sequence[PanopticMap], truth: Sequence[PanopticMap]) -> None:
        """Adds images; each pair is of one size, and both lie on one device.

        Several segments of one class of stuff are one segment. Segments without a pixel are none.
        Raises ValueError where sizes differ, or where a map and its labels do not go together.
        """
        for mine, true in zip(found, truth, strict=True):
            self._add(mine, true)

    def compute(self, device: torch.device) -> dict[str, float]:
        """The nine numbers over all ranks, NaN for a mean over no class.

        Every rank must call it, once per evaluation; `device` is where ranks exchange tensors.
        """
        self._total = sum_over_ranks(self._tally.to(device)).cpu()
        each = [_qualities(row) for row in self._total.tolist()]
        numbers = {}
        for part, wanted in (("", (True, False)), ("_things", (True,)), ("_stuff", (False,))):
            chosen = [
                row
                for row, thing in zip(each, self.is_thing, strict=True)
                if row is not None and thing in wanted
            ]
            for at, name in enumerate(("pq", "sq", "rq")):
                mean = sum(row[at] for row in chosen) / len(chosen) if chosen else math.nan
                numbers[f"{name}{part}"] = mean
        return numbers

    def tables(self) -> dict[str, list]:
        """Each class's numbers and counts of segments, after `compute`; None where it has none."""
        if self._total is None:
            return {}
        each = [_qualities(row) or (None, None, None) for row in self._total.tolist()]
        pq, sq, rq = (list(column) for column in zip(*each, strict=True))
        return {
            "classes": list(self.class_names),
            "is_thing": list(self.is_thing),
            "class_pq": pq,
            "class_sq": sq,
            "class_rq": rq,
            "matched": self._total[:, MATCHED].tolist(),
            "missed": self._total[:, MISSED].tolist(),
            "extra": self._total[:, EXTRA].tolist(),
        }

    def _add(self, found: PanopticMap, truth: PanopticMap) -> None:
        if found.segments.shape != truth.segments.shape:
            raise ValueError(
                f"found segments of {tuple(found.segments.shape)} pixels (height, width), but the "
                f"truth has {tuple(truth.segments.shape)}."
            )
        mine, labels = self._merged(found, "found")
        true, true_labels = self._merged(truth, "the truth's")
        crowd = torch.zeros(len(true_labels), dtype=torch.bool)
        if truth.crowd is not None:
            crowd[: len(truth.crowd)] = truth.crowd.cpu()
        # [truth's segments + 1, found segments + 1]; row and column 0 are void
        shape = (len(true_labels) + 1, len(labels) + 1)
        cells = torch.bincount((true * shape[1] + mine).flatten(), minlength=shape[0] * shape[1])
        shared = cells.view(shape).cpu()
        true_area, area = shared[1:].sum(dim=1), shared[:, 1:].sum(dim=0)
        void, shared = shared[0, 1:], shared[1:, 1:]
        same = true_labels[:, None] == labels
        union = true_area[:, None] + (area - void) - shared
        match = same & ~crowd[:, None] & (2 * shared > union)  # at most one each way
        within = void + (shared * (same & crowd[:, None])).sum(dim=0)  # void or crowd of its class
        for row, column in match.nonzero().tolist():
            iou = int(shared[row, column]) / int(union[row, column])
            self._tally[true_labels[row], IOU] += round(iou * UNIT)
        self._count(MATCHED, true_labels[match.any(dim=1)])
        self._count(MISSED, true_labels[(true_area > 0) & ~crowd & ~match.any(dim=1)])
        self._count(EXTRA, labels[(area > 0) & ~match.any(dim=0) & (2 * within <= area)])

    def _count(self, what: int, labels: Int[Tensor, " segments"]) -> None:
        self._tally[:, what] += torch.bincount(labels, minlength=len(self.class_names))

    def _merged(
        self, image: PanopticMap, whose: str
    ) -> tuple[Int[Tensor, "height width"], Int[Tensor, " segments"]]:
        """The map with each class of stuff as one segment, and the labels on the CPU."""
        labels, segments = image.labels.cpu().long(), image.segments.long()
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.class_names):
            raise ValueError(
                f"{whose} labels are {int(labels.min())} to {int(labels.max())}; wanted 0 to "
                f"{len(self.class_names) - 1}."
            )
        if not 0 <= int(segments.min()) <= int(segments.max()) <= len(labels):
            raise ValueError(
                f"{whose} segments are numbered {int(segments.min())} to {int(segments.max())}; "
                f"wanted 1 to {len(labels)}, one a label, and 0 for void."
            )
        first: dict[int, int] = {}
        leader = [0]
        for number, label in enumerate(labels.tolist(), 1):
            thing = self.is_thing[label]
            leader.append(number if thing else first.setdefault(label, number))
        return torch.tensor(leader, device=segments.device)[segments], labels


def _qualities(row: list[int]) -> tuple[float, float, float] | None:
    """PQ, SQ and RQ of one class; None where it has no segment."""
    matched, missed, extra = row[MATCHED], row[MISSED], row[EXTRA]
    if not matched + missed + extra:
        return None
    recognised = matched / (matched + missed / 2 + extra / 2)
    segmented = row[IOU] / UNIT / matched if matched else 0.0
    return segmented * recognised, segmented, recognised
